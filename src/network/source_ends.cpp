// SPDX-License-Identifier: BSD-3-Clause
// How weights read node layers: which of their inputs which unit is.
#include "end_finder.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {

/// Weights some of whose inputs are constants. Those columns are taken apart; where it is cells of a map, or groups of
/// a convolution, what the links add up to is not known.
void EndFinder::find_constants() {
  constants_.resize(flow_.uses.size());
  std::vector<std::set<int64_t>> met(flow_.uses.size());
  std::vector<int64_t> inputs(flow_.uses.size(), -1);
  for (size_t i = 0; i < flow_.reads.size(); ++i) {
    const Read& reader = flow_.reads[i];
    if (reader.use < 0) {
      continue;
    }
    const auto use = static_cast<size_t>(reader.use);
    inputs[use] = size_of(flow_, reader.features);
    if (const auto pairs = sites_.relations[i].pairs(reader.features, {}); pairs.has_value()) {
      for (const auto& [index, nothing] : *pairs) {
        met[use].insert(index);
      }
    }
    for (const Axis& axis : reader.positions) {
      const auto cells = sites_.relations[i].pairs(axis, {});
      if (cells.has_value() && static_cast<int64_t>(cells->size()) != size_of(flow_, axis)) {
        constants_[use] = "it reads cells that are constant, beside units";
      }
    }
  }
  unit_inputs_.resize(flow_.uses.size());
  for (size_t use = 0; use < met.size(); ++use) {
    if (inputs[use] < 0 || static_cast<int64_t>(met[use].size()) == inputs[use]) {
      continue;
    }
    if (flow_.uses[use].layer.groups == 1) {
      unit_inputs_[use].assign(met[use].begin(), met[use].end());
    } else {
      constants_[use] = "it reads constants, beside units";
    }
  }
}

void EndFinder::add_source(int32_t position, int32_t reader) {
  const Read& how = read(reader);
  if (how.kind == Read::Kind::kConvolution) {
    read_by_convolution(position, reader);
  } else if (how.kind == Read::Kind::kLinear) {
    read_by_linear(position, reader);
  }
}

void EndFinder::read_by_convolution(int32_t position, int32_t reader) {
  Candidate& from = candidate(position);
  const Read& how = read(reader);
  LinkEnd pattern;
  const auto channels = relation(reader).pairs(how.features, from.axes[0]);
  bool fits = channels.has_value() && from.axes.size() == how.positions.size() + 1;
  for (size_t d = 0; fits && d < how.positions.size(); ++d) {
    const auto cells = relation(reader).pairs(how.positions[d], from.axes[d + 1]);
    const auto decided = relation(reader).decided_by(how.positions[d]);
    fits = cells.has_value() && !shares_one(decided, from.axes[0]);
    if (fits) {
      fits = add_cells(pattern, *cells, size_of(flow_, how.positions[d]), size_of(flow_, from.axes[d + 1]), d);
    }
  }
  if (!fits) {
    blame(position, "a convolution reads it in another shape than its neighbours, which is not placed");
    return;
  }
  Pairs pairs;
  for (const auto& [index, channel] : *channels) {
    pairs.emplace_back(channel, index);
  }
  add_sources(position, how.use, std::move(pairs), pattern);
}

/// Which coordinate each cell that a convolution reads is.
bool EndFinder::add_cells(LinkEnd& end, const Pairs& cells, int64_t read, int64_t size, size_t axis) {
  if (static_cast<int64_t>(cells.size()) != read) {
    return false;
  }
  std::vector<int64_t> map;
  bool same = read == size;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (cells[i].first != static_cast<int64_t>(i)) {
      return false;
    }
    map.push_back(cells[i].second);
    same = same && cells[i].second == static_cast<int64_t>(i);
  }
  if (!same) {
    end.cells.resize(std::max(end.cells.size(), axis + 1));
    end.cells[axis] = std::move(map);
  }
  return true;
}

void EndFinder::read_by_linear(int32_t position, int32_t reader) {
  Candidate& from = candidate(position);
  const Read& how = read(reader);
  const std::set<AtomId> decided = relation(reader).decided_by(how.features);
  bool per_unit = false;
  for (size_t d = 1; d < from.axes.size(); ++d) {
    per_unit = per_unit || shares_one(decided, from.axes[d]);
  }
  const auto met = relation(reader).pairs(how.features, per_unit ? from.units() : from.axes[0]);
  const bool alike = !per_unit && !shares_one(decided, from.axes[0]) && size_of(flow_, from.axes[0]) > 1;
  if (!met.has_value() || alike) {
    blame(position, "its readers see different units of it");
    return;
  }
  LinkEnd pattern;
  pattern.per_unit = per_unit;
  for (size_t d = 1; !per_unit && d < from.axes.size(); ++d) {
    const auto cells = relation(reader).met(from.axes[d]);
    if (!cells.has_value()) {
      blame(position, "a reader mixes its positions, which is not placed");
      return;
    }
    if (static_cast<int64_t>(cells->size()) != size_of(flow_, from.axes[d])) {
      pattern.cells.resize(d);
      pattern.cells[d - 1] = *cells;
    }
  }
  Pairs pairs;
  for (const auto& [index, unit] : *met) {
    pairs.emplace_back(unit, index);
  }
  add_sources(position, how.use, std::move(pairs), pattern);
}

/// Steps of a recurrent layer that one weight reads one by one are one link each.
void EndFinder::add_sources(int32_t position, int32_t use, Pairs pairs, const LinkEnd& pattern) {
  shift(pairs, candidate(position), pattern.per_unit);
  Pairs& all = read_[{use, position, pattern.per_unit, pattern.cells}];
  all.insert(all.end(), pairs.begin(), pairs.end());
}

void EndFinder::write_sources() {
  for (auto& [key, pairs] : read_) {
    const auto& [use, position, per_unit, cells] = key;
    std::sort(pairs.begin(), pairs.end());
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    LinkEnd pattern;
    pattern.per_unit = per_unit;
    pattern.cells = cells;
    for (LinkEnd& end : ends_of(pairs, count_of(candidate(position), per_unit), pattern)) {
      of_use_[static_cast<size_t>(use)].sources.push_back({position, std::move(end)});
    }
  }
}

}  // namespace dynascope::network
