// SPDX-License-Identifier: BSD-3-Clause
// How identity links join the operands of a sum to the node layer that it makes.
#include "end_finder.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {

/// Identity links from what an operand sees of its site.
void EndFinder::linked_to(int32_t position, const Producer& producer) {
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
  copies_[{position, read(reader).sum}].push_back({read(reader).term, from, *met, target.resampling});
  Pairs units = *met;
  shift(units, to, per_unit);
  note(position, producer.path, units, true);
  add_identity(position, from, *met, target, origin, reader);
}

void EndFinder::add_identity(int32_t position, int32_t from, const Pairs& met, const LinkEnd& target,
                             const LinkEnd& origin, int32_t reader) {
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

/// A sum of one node layer with itself is that node layer again; of two orders of its units it would be two at once.
void EndFinder::refuse_reordered_sums() {
  for (const auto& [key, operands] : copies_) {
    const auto& [position, sum] = key;
    std::set<int32_t> terms, known, sources;
    for (const Read& other : flow_.reads) {
      if (other.sum == sum) {
        terms.insert(other.term);
      }
    }
    bool crossed = false;
    for (const Copies& copies : operands) {
      known.insert(copies.term);
      sources.insert(copies.from);
      crossed = crossed || std::any_of(operands.begin(), operands.end(),
                                       [&](const Copies& other) { return cross(copies, other); });
    }
    if (crossed && sources.size() == 1 && known == terms) {
      for (const int32_t other : {position, *sources.begin()}) {
        blame(other, "it is added to itself in another order, which is not placed");
      }
    }
  }
}

bool EndFinder::cross(const Copies& a, const Copies& b) {
  if (a.term == b.term) {
    return false;
  }
  std::map<int64_t, std::set<int64_t>> in_a, in_b;
  for (const auto& [unit, from] : a.units) {
    in_a[from].insert(unit);
  }
  for (const auto& [unit, from] : b.units) {
    in_b[from].insert(unit);
  }
  const auto alike = [](const Resampling& x, const Resampling& y) { return x.coefficients == y.coefficients; };
  const bool moved =
      !std::equal(a.resampling.begin(), a.resampling.end(), b.resampling.begin(), b.resampling.end(), alike);
  return std::any_of(in_a.begin(), in_a.end(), [&](const auto& units) {
    const auto other = in_b.find(units.first);
    return other != in_b.end() && (moved || other->second != units.second);
  });
}

/// How the position axes of the sum copy or resample those of the operand.
bool EndFinder::add_copies(LinkEnd& end, const Image& image, const Candidate& source, const Candidate& to) const {
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
bool EndFinder::add_covered(LinkEnd& end, int32_t reader, const Candidate& source) const {
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
bool EndFinder::is_kept(const Read& operand, const Axis& axis) const {
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

/// Operands joined along an axis that the sum does not tell apart are one operand.
void EndFinder::gather_identities() {
  std::map<std::pair<int32_t, int32_t>, std::vector<Identity>> by_term;
  for (auto& [key, identity] : identities_) {
    std::vector<Identity>& own = by_term[{std::get<0>(key), std::get<1>(key)}];
    const Identity& wanted = identity;  // a lambda of C++17 may not take what a structured binding names
    const auto same =
        std::find_if(own.begin(), own.end(), [&](const Identity& other) { return same_targets(other, wanted); });
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

bool EndFinder::same_targets(const Identity& a, const Identity& b) {
  return a.targets.size() == b.targets.size() &&
         std::equal(a.targets.begin(), a.targets.end(), b.targets.begin(), [](const Contact& x, const Contact& y) {
           return x.candidate == y.candidate && x.end.order == y.end.order && x.end.first == y.end.first &&
                  x.end.stride == y.end.stride && x.end.resampling.empty() && y.end.resampling.empty();
         });
}

/// Operands of one term that are joined where the sum sees one unit: each would add its links.
void EndFinder::note(int32_t position, const std::vector<int32_t>& path, const Pairs& units, bool identity) {
  for (const int32_t reader : path) {
    auto& terms = noted_[{position, read(reader).sum, read(reader).term}];
    for (const auto& [unit, index] : units) {
      const auto [known, inserted] = terms.try_emplace(unit, reader, identity);
      if (!inserted && known->second.first != reader && !(identity && known->second.second)) {
        blame(position, "it adds activations that are joined along an axis which is no unit axis, which is not placed");
        return;
      }
    }
  }
}

}  // namespace dynascope::network
