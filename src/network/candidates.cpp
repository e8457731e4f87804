// SPDX-License-Identifier: BSD-3-Clause
#include "atoms.hpp"
#include "placement.hpp"
#include "told.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

bool is_one(const Flow& flow, AtomId id) { return atom_of(flow, id).size == 1; }

/// Without chosen coordinates and padding: they make no units, they name some of those that are there.
Axis unit_axis(const Flow& flow, const Atoms& atoms, const Axis& axis) {
  Axis result;
  for (const AtomId id : atoms.coarse(axis)) {
    if (atom_of(flow, id).made == Atom::Made::kGathered) {
      const Axis base = unit_axis(flow, atoms, atom_of(flow, id).base);
      result.insert(result.end(), base.begin(), base.end());
    } else {
      result.push_back(id);
    }
  }
  return result;
}

bool is_plain(const std::vector<AtomId>& roots, const std::vector<Axis>& seen) {
  for (size_t i = 0; i < roots.size(); ++i) {
    if (seen[i] != Axis{roots[i]}) {
      return false;
    }
  }
  return true;
}

class Finder {
 public:
  Finder(Flow& flow, const Sites& sites, Atoms& atoms)
      : flow_(flow), sites_(sites), atoms_(atoms), passed_on_(flow.origins.size()) {}

  /// Readers first: a resampling behind a layer that keeps positions tells those of its sources apart.
  std::vector<Candidate> run() {
    std::vector<std::vector<Candidate>> by_site(sites_.all.size());
    for (size_t i = sites_.all.size(); i-- > 0;) {
      if (sites_.all[i].absorbed < 0) {
        by_site[i] = candidates_of(static_cast<int32_t>(i));
      }
    }
    std::vector<Candidate> result;
    for (std::vector<Candidate>& own : by_site) {
      std::move(own.begin(), own.end(), std::back_inserter(result));
    }
    return result;
  }

 private:
  const Origin& origin_of(const Site& site) const { return flow_.origins[static_cast<size_t>(site.origin)]; }
  const Read& read(int32_t position) const { return flow_.reads[static_cast<size_t>(position)]; }

  Axis along(const std::vector<int32_t>& path, Axis axis) const {
    for (const int32_t position : path) {
      axis = Substitution(flow_, atoms_, read(position).image).axis(axis);
    }
    return axis;
  }

  std::vector<AtomId> told_axes(const Site& site, const std::vector<Producer>& producers) const {
    const Origin& origin = origin_of(site);
    Told told(flow_, origin);
    for (const int32_t position : site.reads) {
      told.add(read(position));
    }
    const auto& extra = passed_on_[static_cast<size_t>(site.origin)];
    told.add_roots(Axis(extra.begin(), extra.end()));
    for (const Producer& producer : producers) {  // a convolution tells the positions that it writes
      if (producer.writer == nullptr) {
        continue;
      }
      const Origin& from = origin_of(sites_.all[static_cast<size_t>(producer.site)]);
      for (const Axis& axis : origin.dims) {
        for (const AtomId id : axis) {
          const std::set<AtomId> roots = roots_of(flow_, along(producer.path, {id}));
          const bool position = std::any_of(from.positions.begin(), from.positions.end(),
                                            [&](const Axis& p) { return roots.count(p[0]) != 0; });
          if (position) {
            told.add_roots({id});
          }
        }
      }
    }
    told.add_single_positions(origin);
    return told.ordered(origin);
  }

  /// Positions that were resampled behind `site` are told apart in what a position by position layer makes them of.
  void pass_on(const Candidate& candidate, const std::vector<Producer>& producers) {
    for (size_t i = 0; i < candidate.roots.size(); ++i) {
      const bool resampled = std::any_of(candidate.seen[i].begin(), candidate.seen[i].end(), [&](AtomId id) {
        const std::vector<AtomId> all = ancestry(flow_, {id});
        return std::any_of(all.begin(), all.end(),
                           [&](AtomId a) { return atom_of(flow_, a).made == Atom::Made::kResampled; });
      });
      if (!resampled) {
        continue;
      }
      for (const Producer& producer : producers) {
        for (const AtomId root : roots_of(flow_, along(producer.path, {candidate.roots[i]}))) {
          tell(producer, root);
        }
      }
    }
  }

  void tell(const Producer& producer, AtomId root) {
    if (producer.site < 0) {
      return;
    }
    const Site& site = sites_.all[static_cast<size_t>(producer.site)];
    if (producer.writer == nullptr) {
      passed_on_[static_cast<size_t>(site.origin)].insert(root);
      return;
    }
    const Origin& origin = origin_of(site);
    for (size_t dim = 0; dim < origin.dims.size(); ++dim) {
      const auto found = std::find(origin.dims[dim].begin(), origin.dims[dim].end(), root);
      if (found == origin.dims[dim].end() || atom_of(flow_, root).mirror < 0) {
        continue;
      }
      for (const Read& source : flow_.reads) {
        if (source.use != producer.writer->use || dim >= source.value.dims.size()) {
          continue;
        }
        const Axis leaves = leaves_of(flow_, source.value.dims[dim]);
        const auto which = static_cast<size_t>(found - origin.dims[dim].begin());
        const Axis axis = leaves.size() == origin.dims[dim].size() ? Axis{leaves[which]} : leaves;
        const std::set<AtomId> roots = roots_of(flow_, axis);
        passed_on_[static_cast<size_t>(source.value.origin)].insert(roots.begin(), roots.end());
      }
    }
  }

  std::vector<Candidate> candidates_of(int32_t position) {
    const Site& site = sites_.all[static_cast<size_t>(position)];
    const Origin& origin = origin_of(site);
    std::vector<Candidate> candidates;
    if (origin.kind == Origin::Kind::kInput && std::none_of(site.reads.begin(), site.reads.end(), [&](int32_t i) {
          return read(i).use >= 0 || read(i).sum >= 0;
        })) {
      return candidates;
    }
    const std::vector<Producer> producers = producers_of(flow_, sites_, position);
    const std::vector<AtomId> roots = told_axes(site, producers);
    const auto add = [&](std::vector<Axis> seen, std::vector<int32_t> reads) {
      Candidate candidate;
      candidate.site = position;
      candidate.origin = site.origin;
      candidate.roots = roots;
      candidate.seen = std::move(seen);
      candidate.reads = std::move(reads);
      candidates.push_back(std::move(candidate));
    };
    for (const int32_t reader : site.reads) {
      std::vector<Axis> seen;
      seen.reserve(roots.size());
      for (const AtomId root : roots) {
        seen.push_back(seen_of(flow_, root, read(reader).value));
      }
      const auto same = std::find_if(candidates.begin(), candidates.end(),
                                     [&](const Candidate& candidate) { return candidate.seen == seen; });
      if (same != candidates.end()) {
        same->reads.push_back(reader);
      } else {
        add(std::move(seen), {reader});
      }
    }
    if (candidates.empty()) {
      std::vector<Axis> seen;
      seen.reserve(roots.size());
      for (const AtomId root : roots) {
        seen.push_back({root});
      }
      add(std::move(seen), {});
    }
    for (Candidate& candidate : candidates) {
      candidate.resampled = !is_plain(roots, candidate.seen);
      arrange(site, candidate);
      find_problem(candidate, producers);
      pass_on(candidate, producers);
    }
    return candidates;
  }

  /// A convolution that reads the candidate; null where none does.
  const Read* convolution_of(const Candidate& candidate) const {
    for (const int32_t position : candidate.reads) {
      if (read(position).kind == Read::Kind::kConvolution) {
        return &read(position);
      }
    }
    return nullptr;
  }

  const Axis& seen_at(const Candidate& candidate, AtomId root) const {
    const auto position = std::find(candidate.roots.begin(), candidate.roots.end(), root) - candidate.roots.begin();
    return candidate.seen[static_cast<size_t>(position)];
  }

  /// Axes as neighbours want them: a convolution's that writes, or one's that reads; else as the tensor has them.
  void arrange(const Site& site, Candidate& candidate) const {
    const Origin& origin = origin_of(site);
    const Read* convolution = convolution_of(candidate);
    const bool written = origin.kind == Origin::Kind::kWeight && !origin.positions.empty();
    if (!written && convolution != nullptr) {
      const Axis features = unit_axis(flow_, atoms_, convolution->features);
      const bool whole = !origin.features.empty() && std::all_of(features.begin(), features.end(), [&](AtomId id) {
        return std::find(origin.features.begin(), origin.features.end(), id) != origin.features.end();
      });
      candidate.axes.push_back(whole ? origin.features : features);
      for (const Axis& axis : convolution->positions) {
        candidate.axes.push_back(unit_axis(flow_, atoms_, axis));
      }
    } else {
      if (!origin.features.empty()) {
        candidate.axes.emplace_back();
        for (const AtomId id : origin.features) {
          const Axis& seen = seen_at(candidate, id);
          candidate.axes[0].insert(candidate.axes[0].end(), seen.begin(), seen.end());
        }
      }
      for (size_t i = 0; i < candidate.roots.size(); ++i) {
        if (std::find(origin.features.begin(), origin.features.end(), candidate.roots[i]) == origin.features.end()) {
          candidate.axes.push_back(candidate.seen[i]);
        }
      }
    }
    require_cover(candidate);
    if (candidate.axes.empty()) {
      candidate.axes.emplace_back();
    }
    if (site.part && candidate.axes[0] != origin.features) {
      candidate.problem = "a range of its features is read in another shape, which is not placed";
    }
    while (candidate.axes.size() > 4) {  // nobody tells more than three position axes apart
      Axis last = candidate.axes.back();
      candidate.axes.pop_back();
      candidate.axes.back().insert(candidate.axes.back().end(), last.begin(), last.end());
    }
  }

  void require_cover(Candidate& candidate) const {
    std::set<AtomId> covered;
    for (const Axis& axis : candidate.axes) {
      const Axis leaves = leaves_of(flow_, axis);
      covered.insert(leaves.begin(), leaves.end());
    }
    for (const Axis& axis : candidate.seen) {
      for (const AtomId id : leaves_of(flow_, axis)) {
        if (!is_one(flow_, id) && covered.count(id) == 0) {
          candidate.problem = "its readers tell different axes of it apart";
        }
      }
      if (axis.size() > 1) {
        candidate.problem = "a reader sees one axis of it in several ways, which is not placed";
      }
    }
  }

  void find_problem(Candidate& candidate, const std::vector<Producer>& producers) const {
    for (const Producer& producer : producers) {
      if (producer.site < 0) {
        const Origin& from = flow_.origins[static_cast<size_t>(read(producer.path.back()).value.origin)];
        candidate.problem = "it adds what " + from.name + " made";
      }
    }
    for (const int32_t position : candidate.reads) {
      if (read(position).kind == Read::Kind::kUnknown) {
        candidate.problem = "read by " + read(position).operation + ": " + read(position).reason;
        return;
      }
    }
  }

  Flow& flow_;
  const Sites& sites_;
  Atoms& atoms_;
  std::vector<std::set<AtomId>> passed_on_;  ///< by origin
};

}  // namespace

std::vector<Candidate> find_candidates(Flow& flow, const Sites& sites, Atoms& atoms) {
  return Finder(flow, sites, atoms).run();
}

}  // namespace dynascope::network
