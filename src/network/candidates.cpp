// SPDX-License-Identifier: BSD-3-Clause
#include "placement.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace dynascope::network {
namespace {

using Made = Atom::Made;

const Atom& atom_of(const Flow& flow, AtomId id) { return flow.atoms[static_cast<size_t>(id)]; }

bool is_one(const Flow& flow, AtomId id) { return atom_of(flow, id).size == 1; }

/// The axis of the origin's tensor that an atom comes from.
AtomId root_of(const Flow& flow, AtomId id) {
  while (atom_of(flow, id).base >= 0) {
    id = atom_of(flow, id).base;
  }
  return id;
}

/// The atom that parts belong to.
AtomId whole_of(const Flow& flow, AtomId id) {
  while (atom_of(flow, id).made == Made::kPart) {
    id = atom_of(flow, id).base;
  }
  return id;
}

Axis without_ones(const Flow& flow, const Axis& axis) {
  Axis result;
  for (const AtomId id : leaves_of(flow, axis)) {
    if (!is_one(flow, id)) {
      result.push_back(id);
    }
  }
  return result;
}

Axis all_atoms(const Flow& flow, const Activation& value) {
  Axis all;
  for (const Axis& axis : value.dims) {
    const Axis inner = leaves_of(flow, axis);
    all.insert(all.end(), inner.begin(), inner.end());
  }
  const Axis gone = leaves_of(flow, value.gone);
  all.insert(all.end(), gone.begin(), gone.end());
  return all;
}

/// Axes of one origin whose coordinates are units, because someone next to it tells them apart.
class Told {
 public:
  Told(const Flow& flow, const Origin& origin) : flow_(flow), is_input_(origin.kind == Origin::Kind::kInput) {
    add_roots(origin.features);
    for (const Axis& axis : origin.positions) {
      add_roots(axis);
    }
    if (origin.no_batch) {
      for (const Axis& axis : origin.dims) {
        add_roots(axis);
      }
    }
  }

  void add(const Read& read) {
    add_used(read.features);
    for (const Axis& axis : read.positions) {
      add_roots(axis);
    }
    for (const AtomId id : all_atoms(flow_, read.value)) {
      for (AtomId step = id; step >= 0; step = atom_of(flow_, step).base) {
        if (atom_of(flow_, step).made == Made::kResampled) {
          roots_.insert(root_of(flow_, id));
        }
      }
    }
  }

  /// In the order of the tensor's axes, features first.
  std::vector<AtomId> ordered(const Origin& origin) const {
    std::vector<AtomId> result;
    const auto append = [&](const Axis& axis) {
      for (const AtomId id : axis) {
        if (roots_.count(id) != 0 && std::find(result.begin(), result.end(), id) == result.end()) {
          result.push_back(id);
        }
      }
    };
    append(origin.features);
    std::for_each(origin.dims.begin(), origin.dims.end(), append);
    return result;
  }

 private:
  void add_roots(const Axis& axis) {
    for (const AtomId id : axis) {
      roots_.insert(root_of(flow_, id));
    }
  }

  // An axis averaged away is not told apart by who reads the one coordinate left of it, nor is a batch of one. Of an
  // input nobody but its readers says what its axes are: there an axis of size 1 may be the only channel.
  void add_used(const Axis& axis) {
    for (const AtomId id : leaves_of(flow_, axis)) {
      const Made made = atom_of(flow_, whole_of(flow_, id)).made;
      if (!is_one(flow_, id) || (is_input_ && made != Made::kAveraged && made != Made::kSelected)) {
        roots_.insert(root_of(flow_, id));
      }
    }
  }

  const Flow& flow_;
  const bool is_input_;
  std::set<AtomId> roots_;
};

/// Without selecting and padding: they make no units, they name some of those that are there.
AtomId unselected(const Flow& flow, AtomId id) {
  while (atom_of(flow, id).made == Made::kSelected || atom_of(flow, id).made == Made::kPadded) {
    id = whole_of(flow, atom_of(flow, id).base);
  }
  return id;
}

/// What a reader sees of each told axis.
std::vector<Axis> seen_by(const Flow& flow, const std::vector<AtomId>& roots, const Activation& value) {
  const Axis atoms = all_atoms(flow, value);
  std::vector<Axis> seen;
  for (const AtomId root : roots) {
    std::set<AtomId> wholes;
    for (const AtomId id : atoms) {
      if (root_of(flow, id) == root) {
        wholes.insert(unselected(flow, whole_of(flow, id)));
      }
    }
    seen.push_back(wholes.empty() ? Axis{root} : Axis(wholes.begin(), wholes.end()));
  }
  return seen;
}

bool is_plain(const std::vector<AtomId>& roots, const std::vector<Axis>& seen) {
  for (size_t i = 0; i < roots.size(); ++i) {
    if (seen[i] != Axis{roots[i]}) {
      return false;
    }
  }
  return true;
}

const Axis& seen_of(const Candidate& candidate, AtomId root) {
  const auto position = std::find(candidate.roots.begin(), candidate.roots.end(), root) - candidate.roots.begin();
  return candidate.seen[static_cast<size_t>(position)];
}

/// The axes as a convolution that reads them wants them; null when none does.
const Read* convolution_of(const Flow& flow, const Candidate& candidate) {
  for (const int32_t read : candidate.reads) {
    if (flow.reads[static_cast<size_t>(read)].kind == Read::Kind::kConvolution) {
      return &flow.reads[static_cast<size_t>(read)];
    }
  }
  return nullptr;
}

void arrange(const Flow& flow, Candidate& candidate) {
  const Origin& origin = flow.origins[static_cast<size_t>(candidate.origin)];
  const Read* convolution = convolution_of(flow, candidate);
  if (!origin.positions.empty()) {
    candidate.axes.push_back(seen_of(candidate, origin.features[0]));
    for (const Axis& axis : origin.positions) {
      candidate.axes.push_back(seen_of(candidate, axis[0]));
    }
  } else if (convolution != nullptr) {
    candidate.axes.push_back(convolution->features);
    candidate.axes.insert(candidate.axes.end(), convolution->positions.begin(), convolution->positions.end());
  } else {
    candidate.axes = candidate.seen;
  }
  std::set<AtomId> covered;
  for (const Axis& axis : candidate.axes) {
    for (const AtomId id : leaves_of(flow, axis)) {
      covered.insert(id);
    }
  }
  for (const Axis& axis : candidate.seen) {
    for (const AtomId id : without_ones(flow, axis)) {
      if (covered.count(id) == 0) {
        candidate.problem = "its readers tell different axes of it apart";
      }
    }
  }
  if (candidate.axes.empty()) {
    candidate.axes.emplace_back();
  }
  while (candidate.axes.size() > 4) {  // nobody tells more than three position axes apart
    Axis last = candidate.axes.back();
    candidate.axes.pop_back();
    candidate.axes.back().insert(candidate.axes.back().end(), last.begin(), last.end());
  }
}

void find_problem(const Flow& flow, Candidate& candidate) {
  for (const int32_t position : candidate.reads) {
    const Read& read = flow.reads[static_cast<size_t>(position)];
    if (read.kind == Read::Kind::kUnknown) {
      candidate.problem = "read by " + read.operation + ": " + read.reason;
      return;
    }
    for (const AtomId id : all_atoms(flow, read.value)) {
      if (std::find(candidate.roots.begin(), candidate.roots.end(), root_of(flow, id)) == candidate.roots.end()) {
        continue;
      }
      for (AtomId step = id; step >= 0; step = atom_of(flow, step).base) {
        if (atom_of(flow, step).made == Made::kSelected) {
          candidate.problem = "a reader selects some of its units, which is not placed";
        } else if (atom_of(flow, step).made == Made::kPadded) {
          candidate.problem = "it is padded for a reader that is no convolution, which is not placed";
        }
      }
    }
  }
}

void add_candidates(const Flow& flow, int32_t position, std::vector<Candidate>& candidates) {
  const Origin& origin = flow.origins[static_cast<size_t>(position)];
  Told told(flow, origin);
  std::vector<int32_t> reads;
  for (size_t i = 0; i < flow.reads.size(); ++i) {
    if (flow.reads[i].value.origin == position) {
      reads.push_back(static_cast<int32_t>(i));
      told.add(flow.reads[i]);
    }
  }
  if (origin.kind == Origin::Kind::kInput && std::none_of(reads.begin(), reads.end(), [&](int32_t i) {
        return flow.reads[static_cast<size_t>(i)].use >= 0;
      })) {
    return;
  }
  const std::vector<AtomId> roots = told.ordered(origin);
  const size_t first = candidates.size();
  for (const int32_t read : reads) {
    std::vector<Axis> seen = seen_by(flow, roots, flow.reads[static_cast<size_t>(read)].value);
    const auto same = std::find_if(candidates.begin() + static_cast<std::ptrdiff_t>(first), candidates.end(),
                                   [&](const Candidate& candidate) { return candidate.seen == seen; });
    if (same != candidates.end()) {
      same->reads.push_back(read);
      continue;
    }
    Candidate candidate;
    candidate.origin = position;
    candidate.roots = roots;
    candidate.seen = std::move(seen);
    candidate.reads = {read};
    candidates.push_back(std::move(candidate));
  }
  if (reads.empty()) {
    Candidate candidate;
    candidate.origin = position;
    candidate.roots = roots;
    for (const AtomId root : roots) {
      candidate.seen.push_back({root});
    }
    candidates.push_back(std::move(candidate));
  }
  for (size_t i = first; i < candidates.size(); ++i) {
    candidates[i].resampled = !is_plain(roots, candidates[i].seen);
    arrange(flow, candidates[i]);
    find_problem(flow, candidates[i]);
  }
}

}  // namespace

std::vector<Candidate> find_candidates(const Flow& flow) {
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < flow.origins.size(); ++i) {
    if (flow.origins[i].kind != Origin::Kind::kUnknown) {
      add_candidates(flow, static_cast<int32_t>(i), candidates);
    }
  }
  return candidates;
}

Resampling resampling_of(const Flow& flow, AtomId root, const Axis& seen, std::string& problem) {
  if (seen == Axis{root}) {
    return {};
  }
  std::vector<AtomId> chain;
  AtomId id = seen.size() == 1 ? seen[0] : -1;
  while (id >= 0 && id != root) {
    const Made made = atom_of(flow, id).made;
    if (made != Made::kResampled && made != Made::kAveraged) {
      id = -1;
      break;
    }
    chain.push_back(id);
    id = atom_of(flow, id).base;
  }
  if (id != root) {
    problem = "it is resampled along an axis that a view made, which is not placed";
    return {};
  }
  Resampling result{atom_of(flow, root).size, atom_of(flow, root).size, {}};
  for (auto step = chain.rbegin(); step != chain.rend(); ++step) {
    const Atom& atom = atom_of(flow, *step);
    if (result.coefficients.empty()) {
      result.coefficients = atom.coefficients;
    } else {
      std::vector<double> product(static_cast<size_t>(atom.size * result.produced), 0.0);
      for (int64_t y = 0; y < atom.size; ++y) {
        for (int64_t m = 0; m < result.seen; ++m) {
          for (int64_t x = 0; x < result.produced; ++x) {
            product[static_cast<size_t>(y * result.produced + x)] +=
                atom.coefficients[static_cast<size_t>(y * result.seen + m)] *
                result.coefficients[static_cast<size_t>(m * result.produced + x)];
          }
        }
      }
      result.coefficients = std::move(product);
    }
    result.seen = atom.size;
  }
  return result;
}

LinkEnd meet(const Flow& flow, const Axis& features, const std::vector<Axis>& axes, std::string& problem) {
  LinkEnd end;
  const Axis wanted = without_ones(flow, features);
  if (wanted == without_ones(flow, axes[0])) {
    return end;
  }
  end.per_unit = true;
  Axis units;
  for (const Axis& axis : axes) {
    const Axis inner = without_ones(flow, axis);
    units.insert(units.end(), inner.begin(), inner.end());
  }
  if (units == wanted) {
    return end;
  }
  // The step in the weight's index that one step along each atom makes; 0 where the weight is the same along it.
  std::vector<int64_t> steps(units.size(), 0);
  int64_t step = 1;
  for (auto id = wanted.rbegin(); id != wanted.rend(); ++id) {
    const auto found = std::find(units.begin(), units.end(), *id);
    if (found == units.end()) {
      problem = "its readers see different units of it";
      return end;
    }
    steps[static_cast<size_t>(found - units.begin())] = step;
    step *= atom_of(flow, *id).size;
  }
  end.order = {0};
  for (size_t i = 0; i < units.size(); ++i) {
    std::vector<int64_t> finer;
    for (const int64_t base : end.order) {
      for (int64_t k = 0; k < atom_of(flow, units[i]).size; ++k) {
        finer.push_back(base + k * steps[i]);
      }
    }
    end.order = std::move(finer);
  }
  return end;
}

}  // namespace dynascope::network
