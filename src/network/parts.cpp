// SPDX-License-Identifier: BSD-3-Clause
// Weights whose outputs end apart. Column sums are of a whole weight layer, so each range of outputs becomes a layer of
// its own. A range of a grouped weight keeps whole groups where it has them, else it is cut at their edges: a piece of
// one group reads the inputs of that group only. Sums per group and unit instead would spare the cuts, but every
// backend would need them for this rare case.
#include "end_finder.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

int64_t outputs_of(const WeightLayer& layer) {
  return layer.transposed ? layer.weight.size(1) * layer.groups : layer.weight.size(0);
}

int64_t inputs_of(const WeightLayer& layer) {
  return layer.transposed ? layer.weight.size(0) : layer.weight.size(1) * layer.groups;
}

/// Ranges of outputs, each of whole groups or inside of one.
std::vector<Part> pieces_of(const Rows& rows, int64_t group) {
  const auto [first, count] = rows;
  if (first % group == 0 && count % group == 0) {
    Part part;
    part.first = first;
    part.count = count;
    part.first_group = first / group;
    part.groups = count / group;
    return {part};
  }
  std::vector<Part> pieces;
  for (int64_t row = first; row < first + count;) {
    const int64_t next = std::min(first + count, (row / group + 1) * group);
    Part part;
    part.first = row;
    part.count = next - row;
    part.first_group = row / group;
    part.groups = 1;
    pieces.push_back(part);
    row = next;
  }
  return pieces;
}

}  // namespace

void EndFinder::take_apart(size_t use) {
  Ends& ends = of_use_[use];
  std::vector<Part>& parts = result_.of_use[use];
  if (written_[use].size() < 2) {
    parts.emplace_back();
    parts.back().ends = std::move(ends);
  } else if (auto apart = parts_of(use); apart.has_value()) {
    parts = std::move(*apart);
  } else {
    for (const auto* contacts : {&ends.sources, &ends.targets}) {
      for (const Contact& contact : *contacts) {
        blame(contact.candidate,
              "parts of what " + flow_.uses[use].layer.name + " writes end apart, which is not placed");
      }
    }
    parts.emplace_back();
    parts.back().ends = std::move(ends);
  }
  if (!unit_inputs_[use].empty()) {
    std::vector<Part> split;
    for (Part& part : parts) {
      for (Part& own : split_inputs(part, unit_inputs_[use], inputs_of(flow_.uses[use].layer))) {
        split.push_back(std::move(own));
      }
    }
    parts = std::move(split);
  }
}

/// Ranges of inputs that are units, and of constants, which link nothing.
std::vector<Part> EndFinder::split_inputs(const Part& part, const std::vector<int64_t>& units, int64_t inputs) const {
  std::vector<Part> result;
  bool bias = true;
  for (int64_t first = 0; first < inputs;) {
    const bool constant = !std::binary_search(units.begin(), units.end(), first);
    int64_t next = first + 1;
    while (next < inputs && std::binary_search(units.begin(), units.end(), next) != constant) {
      ++next;
    }
    Part own = part;
    own.first_input = first;
    own.inputs = next - first;
    own.constant = constant;
    own.bias = bias && !constant;
    bias = bias && constant;
    own.ends.sources.clear();
    for (const Contact& source : part.ends.sources) {
      if (auto some = cut(source, first, own.inputs); some.has_value()) {
        own.ends.sources.push_back(std::move(*some));
      }
    }
    if (constant) {
      own.ends.targets.clear();
    }
    result.push_back(std::move(own));
    first = next;
  }
  return result;
}

/// Nothing where ranges overlap, leave outputs out, or hold gates.
std::optional<std::vector<Part>> EndFinder::parts_of(size_t use) const {
  const Ends& ends = of_use_[use];
  const WeightLayer& layer = flow_.uses[use].layer;
  const int64_t outputs = outputs_of(layer), inputs = inputs_of(layer);
  int64_t next = 0;
  bool apart = std::none_of(ends.targets.begin(), ends.targets.end(),
                            [](const Contact& target) { return target.end.blocks > 1; });
  for (const auto& [first, count] : written_[use]) {
    apart = apart && first == next;
    next = first + count;
  }
  if (!apart || next != outputs) {
    return {};
  }
  std::vector<Part> parts;
  for (const Rows& rows : written_[use]) {
    for (Part& part : pieces_of(rows, outputs / layer.groups)) {
      const int64_t group = inputs / layer.groups;
      for (const Contact& source : ends.sources) {
        if (auto own = cut(source, part.first_group * group, part.groups * group); own.has_value()) {
          part.ends.sources.push_back(std::move(*own));
        }
      }
      for (size_t i = 0; i < ends.targets.size(); ++i) {
        if (rows_of_target_.at({use, i}) == rows) {
          if (auto own = cut(ends.targets[i], part.first, part.count); own.has_value()) {
            part.ends.targets.push_back(std::move(*own));
          }
        }
      }
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

/// Only indices from `first` on, counted from there; nothing where no unit has one.
std::optional<Contact> EndFinder::cut(Contact contact, int64_t first, int64_t count) const {
  LinkEnd& end = contact.end;
  std::vector<int64_t> order;
  for (int64_t n = 0; n < count_of(candidate(contact.candidate), end.per_unit); ++n) {
    const int64_t index = end.order.empty() ? end.first + n * end.stride : end.order[static_cast<size_t>(n)];
    order.push_back(index >= first && index < first + count ? index - first : -1);
  }
  if (std::all_of(order.begin(), order.end(), [](int64_t index) { return index < 0; })) {
    return {};
  }
  end.first = 0;
  end.stride = 1;
  end.order.clear();
  number(end, order);
  return contact;
}

}  // namespace dynascope::network
