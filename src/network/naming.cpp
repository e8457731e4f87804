// SPDX-License-Identifier: BSD-3-Clause
#include "placement.hpp"

#include <map>
#include <utility>

namespace dynascope::network {
namespace {

/// Numbers of nameless inputs and sums, apart by kind, in execution order.
std::map<int32_t, size_t> number_origins(const Flow& flow, const std::vector<Candidate>& candidates, bool inputs,
                                         bool product) {
  std::map<int32_t, size_t> numbers;
  for (const Candidate& candidate : candidates) {
    const Origin& origin = flow.origins[static_cast<size_t>(candidate.origin)];
    const bool wanted =
        inputs ? origin.kind == Origin::Kind::kInput : origin.kind == Origin::Kind::kSum && origin.product == product;
    if (wanted && origin.name.empty()) {
      numbers.emplace(candidate.origin, numbers.size());
    }
  }
  return numbers;
}

std::string positions_of(const Flow& flow, const Candidate& candidate) {
  std::string text;
  for (size_t axis = candidate.axes.size() > 1 ? 1 : 0; axis < candidate.axes.size(); ++axis) {
    text += (text.empty() ? "@" : "x") + std::to_string(size_of(flow, candidate.axes[axis]));
  }
  return text;
}

}  // namespace

std::string range_text(int64_t first, int64_t count) {
  return std::to_string(first) + ":" + std::to_string(first + count);
}

Unranged unranged(const std::string& name, const Use& use) {
  if (use.range.empty() || use.layer.transposed || name.size() < use.range.size()) {
    return {name};
  }
  const size_t end = name.size() - use.range.size();
  return name.compare(end, use.range.size(), use.range) == 0 ? Unranged{name.substr(0, end), use.first_row}
                                                             : Unranged{name};
}

std::string make_distinct(const std::string& name, std::set<std::string>& taken) {
  std::string distinct = name;
  for (int number = 2; !taken.insert(distinct).second; ++number) {
    distinct = name + "#" + std::to_string(number);
  }
  return distinct;
}

std::vector<std::string> name_candidates(const Flow& flow, const Sites& sites,
                                         const std::vector<Candidate>& candidates) {
  const auto inputs = number_origins(flow, candidates, true, false);
  const auto sums = number_origins(flow, candidates, false, false);
  const auto products = number_origins(flow, candidates, false, true);
  const auto plain_name = [&](const Candidate& candidate) {
    const Origin& origin = flow.origins[static_cast<size_t>(candidate.origin)];
    if (!origin.name.empty()) {
      return origin.name;
    }
    if (origin.kind == Origin::Kind::kWeight) {
      return flow.uses[static_cast<size_t>(origin.writers[0].use)].owner;
    }
    if (origin.kind == Origin::Kind::kSum) {
      return origin.product ? "mul" + std::to_string(products.at(candidate.origin))
                            : "add" + std::to_string(sums.at(candidate.origin));
    }
    return inputs.size() == 1 ? std::string("input") : "input" + std::to_string(inputs.at(candidate.origin));
  };
  std::vector<std::string> names;
  std::set<std::string> taken;
  std::string whole;  // name of the origin
  std::string first;  // of the same site; candidates of one site stand together
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    const bool same_origin = i > 0 && candidates[i - 1].origin == candidate.origin;
    if (same_origin && candidates[i - 1].site == candidate.site) {
      names.push_back(make_distinct(first + positions_of(flow, candidate), taken));
      continue;
    }
    const Site& site = sites.all[static_cast<size_t>(candidate.site)];
    if (!site.part) {
      whole = make_distinct(plain_name(candidate), taken);
      first = whole;
    } else {
      const Origin& origin = flow.origins[static_cast<size_t>(candidate.origin)];
      const std::string plain = plain_name(candidate);
      const bool named = origin.kind == Origin::Kind::kWeight && origin.name.empty();
      const Unranged rows =
          named ? unranged(plain, flow.uses[static_cast<size_t>(origin.writers[0].use)]) : Unranged{plain};
      if (!same_origin) {
        std::set<std::string> others = taken;
        whole = make_distinct(rows.name, others);
      }
      first = make_distinct(whole + "[" + range_text(rows.first + site.first, site.count) + "]", taken);
    }
    names.push_back(first);
  }
  return names;
}

}  // namespace dynascope::network
