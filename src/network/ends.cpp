// SPDX-License-Identifier: BSD-3-Clause
// How weights and identity links meet node layers: which index of the weight which unit has, and what stands between.
#include "atoms.hpp"
#include "placement.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace dynascope::network {
namespace {

using Pairs = std::vector<std::pair<int64_t, int64_t>>;  // unit, index
using Rows = std::pair<int64_t, int64_t>;                // first, count

bool shares_one(const std::set<AtomId>& some, const Axis& axis) {
  return std::any_of(axis.begin(), axis.end(), [&](AtomId id) { return some.count(id) != 0; });
}

/// Indices as the affine rule of LinkEnd says them, or one by one. `count` units from 0 on.
void number(LinkEnd& end, const std::vector<int64_t>& order) {
  const auto count = static_cast<int64_t>(order.size());
  const int64_t first = order[0];
  const int64_t stride = count > 1 ? order[1] - order[0] : 1;
  bool affine = first >= 0 && stride >= 0;
  for (int64_t n = 0; affine && n < count; ++n) {
    affine = order[static_cast<size_t>(n)] == first + n * stride;
  }
  if (affine) {
    end.first = first;
    end.stride = stride;
  } else {
    end.order = order;
  }
}

/// Ends that reach every pair: as many as one unit has indices.
std::vector<LinkEnd> ends_of(const Pairs& pairs, int64_t count, const LinkEnd& pattern) {
  std::vector<std::vector<int64_t>> orders;
  std::vector<size_t> used(static_cast<size_t>(count), 0);
  for (const auto& [unit, index] : pairs) {
    size_t& layer = used[static_cast<size_t>(unit)];
    if (layer == orders.size()) {
      orders.emplace_back(static_cast<size_t>(count), -1);
    }
    orders[layer++][static_cast<size_t>(unit)] = index;
  }
  std::vector<LinkEnd> ends;
  for (const std::vector<int64_t>& order : orders) {
    ends.push_back(pattern);
    number(ends.back(), order);
  }
  return ends;
}

class Finder {
 public:
  Finder(Flow& flow, const Sites& sites, Atoms& atoms, std::vector<Candidate>& candidates)
      : flow_(flow), sites_(sites), atoms_(atoms), candidates_(candidates) {
    of_use_.resize(flow.uses.size());
    written_.resize(flow.uses.size());
    result_.of_use.resize(flow.uses.size());
  }

  AllEnds run() {
    find_constants();
    for (size_t i = 0; i < candidates_.size(); ++i) {
      for (const int32_t position : candidates_[i].reads) {
        add_source(static_cast<int32_t>(i), position);
      }
    }
    write_sources();
    for (size_t i = 0; i < candidates_.size(); ++i) {
      add_targets(static_cast<int32_t>(i));
    }
    for (size_t use = 0; use < of_use_.size(); ++use) {
      settle(of_use_[use], is_convolution(use));
    }
    gather_identities();
    spread_losses();
    for (size_t use = 0; use < of_use_.size(); ++use) {
      take_apart(use);
    }
    return std::move(result_);
  }

 private:
  Candidate& candidate(int32_t position) { return candidates_[static_cast<size_t>(position)]; }
  const Site& site_of(int32_t position) const { return sites_.all[static_cast<size_t>(position)]; }
  const Origin& origin_of(int32_t position) const { return flow_.origins[static_cast<size_t>(position)]; }
  const Read& read(int32_t position) const { return flow_.reads[static_cast<size_t>(position)]; }
  const Relation& relation(int32_t read) const { return sites_.relations[static_cast<size_t>(read)]; }

  void blame(int32_t position, const std::string& problem) {
    std::string& noted = candidate(position).problem;
    noted = noted.empty() ? problem : noted;
  }

  /// Units of a candidate: channels of its site, or all of them.
  int64_t count_of(const Candidate& candidate, bool per_unit) const {
    const Site& site = site_of(candidate.site);
    int64_t channels = size_of(flow_, candidate.axes[0]);
    const int64_t rest = channels == 0 ? 0 : size_of(flow_, candidate.units()) / channels;
    channels = site.part ? site.count : channels;
    return per_unit ? channels * rest : channels;
  }

  /// Units of the whole origin to those of the site; those of other sites go.
  void shift(Pairs& pairs, const Candidate& candidate, bool per_unit) const {
    const Site& site = site_of(candidate.site);
    if (!site.part) {
      return;
    }
    const int64_t rest = per_unit ? size_of(flow_, candidate.units()) / size_of(flow_, candidate.axes[0]) : 1;
    Pairs own;
    for (const auto& [unit, index] : pairs) {
      if (unit >= site.first * rest && unit < (site.first + site.count) * rest) {
        own.emplace_back(unit - site.first * rest, index);
      }
    }
    pairs = std::move(own);
  }

  /// Weights some of whose inputs are constants: what they add up to is not known.
  void find_constants() {
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
    for (size_t use = 0; use < met.size(); ++use) {
      if (inputs[use] >= 0 && static_cast<int64_t>(met[use].size()) != inputs[use]) {
        constants_[use] = "it reads constants, beside units";
      }
    }
  }

  void add_source(int32_t position, int32_t reader) {
    const Read& how = read(reader);
    if (how.kind == Read::Kind::kConvolution) {
      read_by_convolution(position, reader);
    } else if (how.kind == Read::Kind::kLinear) {
      read_by_linear(position, reader);
    }
  }

  void read_by_convolution(int32_t position, int32_t reader) {
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
  static bool add_cells(LinkEnd& end, const Pairs& cells, int64_t read, int64_t size, size_t axis) {
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

  void read_by_linear(int32_t position, int32_t reader) {
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
  void add_sources(int32_t position, int32_t use, Pairs pairs, const LinkEnd& pattern) {
    shift(pairs, candidate(position), pattern.per_unit);
    Pairs& all = read_[{use, position, pattern.per_unit, pattern.cells}];
    all.insert(all.end(), pairs.begin(), pairs.end());
  }

  void write_sources() {
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

  /// The axes of a candidate, and what is chosen on the way, in terms of the origin at the end of a path.
  struct Image {
    std::vector<Axis> axes;
    Axis gone;
    Axis units;
  };

  Image along(const std::vector<int32_t>& path, const Candidate& from) {
    Image image{from.axes, {}, {}};
    for (const int32_t position : path) {
      Substitution substitution(flow_, atoms_, read(position).image);
      for (Axis& axis : image.axes) {
        axis = substitution.axis(axis);
      }
      image.gone = substitution.axis(image.gone);
      const Axis& gone = read(position).value.gone;
      image.gone.insert(image.gone.end(), gone.begin(), gone.end());
    }
    for (const Axis& axis : image.axes) {
      image.units.insert(image.units.end(), axis.begin(), axis.end());
    }
    return image;
  }

  Relation relation_of(const Image& image) const {
    Axis free = leaves_of(flow_, image.units);
    for (const AtomId id : leaves_of(flow_, image.gone)) {
      free.push_back(id);
    }
    return {flow_, free};
  }

  void add_targets(int32_t position) {
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

  void written_by(int32_t position, const Producer& producer) {
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
  static std::optional<Rows> rows_of(const Pairs& pairs) {
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

  /// Column sums are of a whole weight layer: outputs that end apart are layers of their own.
  void take_apart(size_t use) {
    Ends& ends = of_use_[use];
    const WeightLayer& layer = flow_.uses[use].layer;
    std::vector<Part>& parts = result_.of_use[use];
    const bool blocks = std::any_of(ends.targets.begin(), ends.targets.end(),
                                    [](const Contact& target) { return target.end.blocks > 1; });
    if (written_[use].size() < 2) {
      parts.push_back({0, -1, std::move(ends)});
      return;
    }
    int64_t next = 0;
    bool apart = layer.groups == 1 && !blocks;
    for (const auto& [first, count] : written_[use]) {
      apart = apart && first == next;
      next = first + count;
    }
    if (!apart || next != layer.weight.size(layer.transposed ? 1 : 0)) {
      for (const auto* contacts : {&ends.sources, &ends.targets}) {
        for (const Contact& contact : *contacts) {
          blame(contact.candidate, "parts of what " + layer.name + " writes end apart, which is not placed");
        }
      }
      parts.push_back({0, -1, std::move(ends)});
      return;
    }
    for (const auto& [first, count] : written_[use]) {
      Part part{first, count, {ends.sources, {}}};
      for (size_t i = 0; i < ends.targets.size(); ++i) {
        if (rows_of_target_.at({use, i}) == Rows{first, count}) {
          part.ends.targets.push_back(shifted(ends.targets[i], first));
        }
      }
      parts.push_back(std::move(part));
    }
  }

  static Contact shifted(Contact target, int64_t first) {
    target.end.first -= target.end.order.empty() ? first : 0;
    for (int64_t& index : target.end.order) {
      index = index < 0 ? -1 : index - first;
    }
    return target;
  }

  /// What stands between the weight and each position axis; says why where that is not known.
  std::string add_resampling(LinkEnd& end, const Image& image, const Origin& origin, const Candidate& to) const {
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
  AtomId root_of(const Axis& axis, const Origin& origin) const {
    for (const AtomId id : ancestry(flow_, axis)) {
      for (const Axis& dim : origin.dims) {
        if (std::find(dim.begin(), dim.end(), id) != dim.end()) {
          return id;
        }
      }
    }
    return -1;
  }

  bool is_resampled(const Axis& axis) const {
    const std::vector<AtomId> all = ancestry(flow_, axis);
    return std::any_of(all.begin(), all.end(),
                       [&](AtomId id) { return atom_of(flow_, id).made == Atom::Made::kResampled; });
  }

  /// A node layer needs to know what its links lead to: through a resampling that is not known, it does not.
  void lose_target(int32_t position, int32_t use, const std::string& problem) {
    blame(position, problem);
    lost_.push_back({position, use});
  }

  /// Identity links from what an operand sees of its site.
  void linked_to(int32_t position, const Producer& producer) {
    const int32_t reader = producer.path.back();
    const auto source = std::find_if(candidates_.begin(), candidates_.end(), [&](const Candidate& other) {
      return other.site == producer.site &&
             std::find(other.reads.begin(), other.reads.end(), reader) != other.reads.end();
    });
    if (source == candidates_.end()) {
      return;
    }
    const auto from = static_cast<int32_t>(source - candidates_.begin());
    const Candidate& to = candidate(position);
    const Image image = along(producer.path, to);
    const Relation meeting = relation_of(image);
    bool per_unit = false;
    for (size_t d = 1; d < image.axes.size(); ++d) {
      per_unit = per_unit || shares_one(meeting.decided_by(image.axes[d]), source->axes[0]);
    }
    for (size_t d = 1; d < source->axes.size(); ++d) {
      per_unit = per_unit || shares_one(meeting.decided_by(image.axes[0]), source->axes[d]);
    }
    const auto met =
        per_unit ? meeting.pairs(image.units, source->units()) : meeting.pairs(image.axes[0], source->axes[0]);
    LinkEnd target, origin;
    target.per_unit = origin.per_unit = per_unit;
    if (!met.has_value() || !add_copies(target, image, *source, to) || !add_covered(origin, reader, *source)) {
      const std::string problem = "an operand of a sum is in another shape than the sum, which is not placed";
      blame(position, problem);
      blame(from, problem);
      return;
    }
    Pairs units = *met;
    shift(units, to, per_unit);
    note(position, producer.path, units, true);
    add_identity(position, from, *met, target, origin, reader);
  }

  void add_identity(int32_t position, int32_t from, const Pairs& met, const LinkEnd& target, const LinkEnd& origin,
                    int32_t reader) {
    // Both ends count the units of the source: index i is its unit i of the whole origin, shifted to its site.
    Pairs pairs = met, turned;
    shift(pairs, candidate(position), target.per_unit);
    for (const auto& [unit, index] : pairs) {
      turned.emplace_back(index, unit);
    }
    shift(turned, candidate(from), origin.per_unit);
    if (turned.empty()) {
      return;
    }
    const int64_t sources = count_of(candidate(from), origin.per_unit);
    std::vector<int64_t> copies(static_cast<size_t>(sources), 0);
    Pairs written;
    for (const auto& [index, unit] : turned) {
      ++copies[static_cast<size_t>(index)];
      written.emplace_back(unit, index);
    }
    std::sort(written.begin(), written.end());
    std::vector<Contact> source_ends;
    const int64_t most = *std::max_element(copies.begin(), copies.end());
    if (std::all_of(copies.begin(), copies.end(), [most](int64_t count) { return count == most; })) {
      LinkEnd end = origin;
      end.blocks = most;
      source_ends.push_back({from, end});
    } else {
      for (int64_t copy = 0; copy < most; ++copy) {
        LinkEnd end = origin;
        for (size_t i = 0; i < copies.size(); ++i) {
          end.order.push_back(copies[i] > copy ? static_cast<int64_t>(i) : -1);
        }
        source_ends.push_back({from, std::move(end)});
      }
    }
    const Read& how = read(reader);
    Identity& identity = identities_[{how.sum, how.term, reader, candidate(position).site}];
    identity.sources[from] = std::move(source_ends);
    for (LinkEnd& end : ends_of(written, count_of(candidate(position), target.per_unit), target)) {
      identity.targets.push_back({position, std::move(end)});
    }
  }

  /// How the position axes of the sum copy or resample those of the operand.
  bool add_copies(LinkEnd& end, const Image& image, const Candidate& source, const Candidate& to) const {
    end.resampling.resize(image.axes.size() - 1);
    bool any = false;
    for (size_t d = 1; d < image.axes.size(); ++d) {
      const std::vector<AtomId> all = ancestry(flow_, image.axes[d]);
      size_t axis = 0;
      for (size_t e = 1; e < source.axes.size(); ++e) {
        if (shares_one(std::set<AtomId>(all.begin(), all.end()), source.axes[e])) {
          axis = e;
        }
      }
      if (end.per_unit) {
        continue;
      }
      if (axis != 0 && (axis != d || source.axes[axis].size() != 1)) {
        return false;
      }
      const auto map = map_from(flow_, image.axes[d], axis != 0 ? source.axes[axis][0] : -1);
      if (!map.has_value()) {
        if (axis != 0 || is_resampled(to.axes[d])) {
          return false;
        }
        continue;  // position by position
      }
      if (!map->coefficients.empty()) {
        end.resampling[d - 1] = *map;
        any = true;
      }
    }
    if (!any) {
      end.resampling.clear();
    }
    return true;
  }

  /// Positions of the source that the sum does not tell apart: those that it reads.
  bool add_covered(LinkEnd& end, int32_t reader, const Candidate& source) const {
    for (size_t d = 1; !end.per_unit && d < source.axes.size(); ++d) {
      const auto cells = relation(reader).met(source.axes[d]);
      if (!cells.has_value()) {
        return false;
      }
      const bool all = static_cast<int64_t>(cells->size()) == size_of(flow_, source.axes[d]);
      if (!all && !is_kept(read(reader), source.axes[d])) {
        end.cells.resize(d);
        end.cells[d - 1] = *cells;
      }
    }
    return true;
  }

  /// The sum has an axis of its own for it: its resampling says which positions are read.
  bool is_kept(const Read& operand, const Axis& axis) const {
    for (const Candidate& other : candidates_) {
      if (other.origin != operand.sum) {
        continue;
      }
      for (size_t d = 1; d < other.axes.size(); ++d) {
        Axis image;
        for (const AtomId root : ancestry(flow_, other.axes[d])) {
          if (const auto found = operand.image.find(root); found != operand.image.end()) {
            image.insert(image.end(), found->second.begin(), found->second.end());
          }
        }
        const std::vector<AtomId> all = ancestry(flow_, image);
        if (shares_one(std::set<AtomId>(all.begin(), all.end()), axis)) {
          return true;
        }
      }
    }
    return false;
  }

  int64_t positions(const Candidate& candidate, size_t axis) const {
    return axis + 1 < candidate.axes.size() ? size_of(flow_, candidate.axes[axis + 1]) : 1;
  }

  /// What links go to is part of them: sources whose positions do not fit what the targets resample are not placed.
  void settle(const Ends& ends, bool convolution) {
    for (const Contact& target : ends.targets) {
      for (size_t d = 0; d < target.end.resampling.size(); ++d) {
        const Resampling& resampling = target.end.resampling[d];
        if (resampling.coefficients.empty()) {
          continue;
        }
        for (const Contact& source : ends.sources) {
          const int64_t cells = d < source.end.cells.size() && !source.end.cells[d].empty()
                                    ? static_cast<int64_t>(source.end.cells[d].size())
                                    : positions(candidate(source.candidate), d);
          if (!convolution && (source.end.per_unit ? resampling.produced != 1 : cells != resampling.produced)) {
            blame(source.candidate, "positions behind it are resampled in another shape, which is not placed");
          }
        }
      }
    }
  }

  bool is_convolution(size_t use) const { return !flow_.uses[use].layer.axes.empty(); }

  /// Operands joined along an axis that the sum does not tell apart are one operand.
  void gather_identities() {
    std::map<std::pair<int32_t, int32_t>, std::vector<Identity>> by_term;
    for (auto& [key, identity] : identities_) {
      std::vector<Identity>& own = by_term[{std::get<0>(key), std::get<1>(key)}];
      const auto same =
          std::find_if(own.begin(), own.end(), [&](const Identity& other) { return same_targets(other, identity); });
      if (same != own.end()) {
        same->sources.insert(identity.sources.begin(), identity.sources.end());
      } else {
        own.push_back(identity);
      }
    }
    for (auto& [term, identities] : by_term) {
      for (Identity& identity : identities) {
        Ends ends;
        ends.targets = std::move(identity.targets);
        for (auto& [from, contacts] : identity.sources) {
          std::move(contacts.begin(), contacts.end(), std::back_inserter(ends.sources));
        }
        settle(ends, false);
        result_.identities.push_back(std::move(ends));
      }
    }
  }

  struct Identity {
    std::map<int32_t, std::vector<Contact>> sources;
    std::vector<Contact> targets;
  };

  static bool same_targets(const Identity& a, const Identity& b) {
    return a.targets.size() == b.targets.size() &&
           std::equal(a.targets.begin(), a.targets.end(), b.targets.begin(), [](const Contact& x, const Contact& y) {
             return x.candidate == y.candidate && x.end.order == y.end.order && x.end.first == y.end.first &&
                    x.end.stride == y.end.stride && x.end.resampling.empty() && y.end.resampling.empty();
           });
  }

  /// What links lead to is part of them: behind a resampling that is not known, sources are not placed either.
  void spread_losses() {
    for (const auto& [position, use] : lost_) {
      if (candidate(position).resampled) {
        spread(of_use_[static_cast<size_t>(use)], flow_.uses[static_cast<size_t>(use)].layer.name);
      }
    }
    for (size_t use = 0; use < of_use_.size(); ++use) {
      const Ends& ends = of_use_[use];
      const bool unknown = is_convolution(use) && std::any_of(ends.targets.begin(), ends.targets.end(),
                                                              [&](const Contact& c) { return is_lost(c.candidate); });
      if (unknown) {
        spread(ends, flow_.uses[use].layer.name);
      }
    }
    for (const Ends& ends : result_.identities) {
      if (std::any_of(ends.targets.begin(), ends.targets.end(),
                      [&](const Contact& c) { return is_lost(c.candidate); })) {
        spread(ends, "a sum");
      }
    }
  }

  bool is_lost(int32_t position) {
    const Candidate& to = candidate(position);
    return to.axes.size() > 1 &&
           std::any_of(to.reads.begin(), to.reads.end(), [&](int32_t r) { return read(r).may_resample; });
  }

  void spread(const Ends& ends, const std::string& name) {
    for (const Contact& source : ends.sources) {
      blame(source.candidate, "what " + name + " makes of it is not placed");
    }
  }

  /// Operands of one term that are joined where the sum sees one unit: each would add its links.
  void note(int32_t position, const std::vector<int32_t>& path, const Pairs& units, bool identity) {
    for (const int32_t reader : path) {
      auto& terms = noted_[{position, read(reader).sum, read(reader).term}];
      for (const auto& [unit, index] : units) {
        const auto [known, inserted] = terms.try_emplace(unit, reader, identity);
        if (!inserted && known->second.first != reader && !(identity && known->second.second)) {
          blame(position,
                "it adds activations that are joined along an axis which is no unit axis, which is not placed");
          return;
        }
      }
    }
  }

 private:
  Flow& flow_;
  const Sites& sites_;
  Atoms& atoms_;
  std::vector<Candidate>& candidates_;
  AllEnds result_;
  std::vector<Ends> of_use_;                                  // before outputs that end apart are
  std::vector<std::set<Rows>> written_;                       // by use
  std::map<std::pair<size_t, size_t>, Rows> rows_of_target_;  // by use and target
  std::map<std::tuple<int32_t, int32_t, bool, std::vector<std::vector<int64_t>>>, Pairs> read_;  // by use, candidate
  std::vector<std::string> constants_;             // by use: why its sums are not known
  std::vector<std::pair<int32_t, int32_t>> lost_;  // candidate, use
  std::map<std::tuple<int32_t, int32_t, int32_t>, std::map<int64_t, std::pair<int32_t, bool>>> noted_;
  std::map<std::tuple<int32_t, int32_t, int32_t, int32_t>, Identity> identities_;  // by sum, term, read, site
};

}  // namespace

AllEnds find_ends(Flow& flow, const Sites& sites, Atoms& atoms, std::vector<Candidate>& candidates) {
  return Finder(flow, sites, atoms, candidates).run();
}

}  // namespace dynascope::network
