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
    return {{first, count, first / group, count / group, {}}};
  }
  std::vector<Part> pieces;
  for (int64_t row = first; row < first + count;) {
    const int64_t next = std::min(first + count, (row / group + 1) * group);
    pieces.push_back({row, next - row, row / group, 1, {}});
    row = next;
  }
  return pieces;
}

}  // namespace

void EndFinder::take_apart(size_t use) {
  Ends& ends = of_use_[use];
  if (written_[use].size() < 2) {
    result_.of_use[use].push_back({0, -1, 0, -1, std::move(ends)});
    return;
  }
  if (auto parts = parts_of(use); parts.has_value()) {
    result_.of_use[use] = std::move(*parts);
    return;
  }
  for (const auto* contacts : {&ends.sources, &ends.targets}) {
    for (const Contact& contact : *contacts) {
      blame(contact.candidate,
            "parts of what " + flow_.uses[use].layer.name + " writes end apart, which is not placed");
    }
  }
  result_.of_use[use].push_back({0, -1, 0, -1, std::move(ends)});
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
