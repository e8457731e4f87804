// SPDX-License-Identifier: BSD-3-Clause
// How weights write node layers: which of their outputs which unit is, and what stands between.
#include "end_finder.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {

void EndFinder::add_targets(int32_t position) {
  for (const Producer& producer : producers_of(flow_, sites_, candidate(position).site)) {
    if (producer.site < 0) {
      continue;
    }
    if (producer.writer != nullptr) {
      written_by(position, producer);
    } else {
      linked_to(position, producer);
    }
  }
}

void EndFinder::written_by(int32_t position, const Producer& producer) {
  const Candidate& to = candidate(position);
  const Writer& writer = *producer.writer;
  const Site& site = site_of(producer.site);
  const Origin& origin = origin_of(site.origin);
  const auto use = static_cast<size_t>(writer.use);
  const Image image = along(producer.path, to);
  const Relation meeting = relation_of(image);

  LinkEnd end;
  for (size_t d = 1; d < image.axes.size(); ++d) {
    end.per_unit = end.per_unit || shares_one(meeting.decided_by(image.axes[d]), origin.features);
  }
  const auto met = meeting.pairs(end.per_unit ? image.units : image.axes[0], origin.features);
  if (!met.has_value()) {
    lose_target(position, writer.use, "it is resampled along its features, which is not placed");
    return;
  }
  Pairs pairs;
  const int64_t count = writer.count < 0 ? size_of(flow_, origin.features) : writer.count;
  for (const auto& [unit, feature] : *met) {
    const bool of_site = !site.part || (feature >= site.first && feature < site.first + site.count);
    if (of_site && feature >= writer.first && feature < writer.first + count) {
      pairs.emplace_back(unit, feature - writer.first);
    }
  }
  shift(pairs, to, end.per_unit);
  if (pairs.empty()) {
    return;
  }
  end.blocks = writer.blocks;
  end.block_stride = writer.blocks > 1 ? count : 0;
  const std::optional<Rows> rows = rows_of(pairs);
  if (!rows.has_value()) {
    lose_target(
        position, writer.use,
        "its units are copies, or pieces, of what " + flow_.uses[use].layer.name + " writes, which is not placed");
    return;
  }
  written_[use].insert(*rows);
  if (!constants_[use].empty()) {
    lose_target(position, writer.use, flow_.uses[use].layer.name + ": " + constants_[use]);
    return;
  }
  const std::string problem = add_resampling(end, image, origin, to);
  if (!problem.empty()) {
    lose_target(position, writer.use, problem);
    return;
  }
  note(position, producer.path, pairs, false);
  for (LinkEnd& one : ends_of(pairs, count_of(to, end.per_unit), end)) {
    of_use_[use].targets.push_back({position, std::move(one)});
    rows_of_target_[{use, of_use_[use].targets.size() - 1}] = *rows;
  }
}

/// The range of outputs that units stand for, each for one.
std::optional<Rows> EndFinder::rows_of(const Pairs& pairs) {
  std::vector<int64_t> rows;
  for (const auto& [unit, row] : pairs) {
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end());
  const int64_t count = static_cast<int64_t>(rows.size());
  for (int64_t i = 0; i < count; ++i) {
    if (rows[static_cast<size_t>(i)] != rows[0] + i) {
      return {};
    }
  }
  return Rows{rows[0], count};
}

/// What stands between the weight and each position axis; says why where that is not known.
std::string EndFinder::add_resampling(LinkEnd& end, const Image& image, const Origin& origin,
                                      const Candidate& to) const {
  const bool convolution = !origin.positions.empty();
  if (convolution && (end.per_unit || origin.positions.size() + 1 != image.axes.size())) {
    return "its readers see its channels in another shape, which is not placed";
  }
  end.resampling.resize(image.axes.size() - 1);
  bool any = false;
  for (size_t d = 0; d + 1 < image.axes.size(); ++d) {
    const AtomId root = convolution ? origin.positions[d][0] : root_of(image.axes[d + 1], origin);
    const auto map = map_from(flow_, image.axes[d + 1], root);
    if (map.has_value() && (convolution || !map->coefficients.empty())) {
      end.resampling[d] = map->coefficients.empty() ? Resampling() : *map;
      any = any || !map->coefficients.empty();
    } else if (!map.has_value() && (convolution || is_resampled(to.axes[d + 1]))) {
      return "it is resampled along its features, or along an axis that a view made, which is not placed";
    }
  }
  if (!any) {
    end.resampling.clear();
  } else if (end.per_unit) {
    return "its readers see its channels in another shape, which is not placed";
  }
  return "";
}

/// The axis of the origin's tensor that a position axis comes from; -1 where it copies one coordinate.
AtomId EndFinder::root_of(const Axis& axis, const Origin& origin) const {
  for (const AtomId id : ancestry(flow_, axis)) {
    for (const Axis& dim : origin.dims) {
      if (std::find(dim.begin(), dim.end(), id) != dim.end()) {
        return id;
      }
    }
  }
  return -1;
}

bool EndFinder::is_resampled(const Axis& axis) const {
  const std::vector<AtomId> all = ancestry(flow_, axis);
  return std::any_of(all.begin(), all.end(),
                     [&](AtomId id) { return atom_of(flow_, id).made == Atom::Made::kResampled; });
}

/// A node layer needs to know what its links lead to: through a resampling that is not known, it does not.
void EndFinder::lose_target(int32_t position, int32_t use, const std::string& problem) {
  blame(position, problem);
  lost_.push_back({position, use});
}

}  // namespace dynascope::network
