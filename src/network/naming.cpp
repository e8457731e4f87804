// SPDX-License-Identifier: BSD-3-Clause
#include "placement.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace dynascope::network {
namespace {

std::string plain_name(const Flow& flow, const Origin& origin, const std::map<int32_t, size_t>& inputs,
                       int32_t position) {
  if (origin.kind == Origin::Kind::kWeight) {
    return flow.uses[static_cast<size_t>(origin.use)].owner;
  }
  if (!origin.name.empty()) {
    return origin.name;
  }
  return inputs.size() == 1 ? "input" : "input" + std::to_string(inputs.at(position));
}

std::string positions_of(const Flow& flow, const Candidate& candidate) {
  std::string text;
  for (size_t axis = candidate.axes.size() > 1 ? 1 : 0; axis < candidate.axes.size(); ++axis) {
    int64_t size = 1;
    for (const AtomId id : candidate.axes[axis]) {
      size *= flow.atoms[static_cast<size_t>(id)].size;
    }
    text += (text.empty() ? "@" : "x") + std::to_string(size);
  }
  return text;
}

}  // namespace

std::string make_distinct(const std::string& name, std::set<std::string>& taken) {
  std::string distinct = name;
  for (int number = 2; !taken.insert(distinct).second; ++number) {
    distinct = name + "#" + std::to_string(number);
  }
  return distinct;
}

std::vector<std::string> name_candidates(const Flow& flow, const std::vector<Candidate>& candidates) {
  std::map<int32_t, size_t> inputs;
  for (const Candidate& candidate : candidates) {
    const Origin& origin = flow.origins[static_cast<size_t>(candidate.origin)];
    if (origin.kind == Origin::Kind::kInput && origin.name.empty()) {
      inputs.emplace(candidate.origin, inputs.size());
    }
  }
  std::vector<std::string> names;
  std::set<std::string> taken;
  std::string first;  // of the same origin; candidates of one origin stand together
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    if (i == 0 || candidates[i - 1].origin != candidate.origin) {
      const Origin& origin = flow.origins[static_cast<size_t>(candidate.origin)];
      first = make_distinct(plain_name(flow, origin, inputs, candidate.origin), taken);
      names.push_back(first);
    } else {
      names.push_back(make_distinct(first + positions_of(flow, candidate), taken));
    }
  }
  return names;
}

}  // namespace dynascope::network
