// SPDX-License-Identifier: BSD-3-Clause
#include "told.hpp"

#include <algorithm>

namespace dynascope::network {
namespace {

using Made = Atom::Made;

bool is_one(const Flow& flow, AtomId id) { return atom_of(flow, id).size == 1; }

}  // namespace

std::set<AtomId> roots_of(const Flow& flow, const Axis& axis) {
  std::set<AtomId> roots;
  for (const AtomId id : ancestry(flow, axis)) {
    if (atom_of(flow, id).made == Made::kProduced) {
      roots.insert(id);
    }
  }
  return roots;
}

Axis seen_of(const Flow& flow, AtomId root, const Activation& value) {
  std::set<AtomId> seen;
  std::set<AtomId> done;
  std::vector<AtomId> open = all_leaves(flow, value);
  while (!open.empty()) {
    const AtomId id = open.back();
    open.pop_back();
    const Atom& atom = atom_of(flow, id);
    if (!done.insert(id).second) {
      continue;
    }
    if (id == root) {
      seen.insert(id);
    } else if (atom.made == Made::kResampled || atom.made == Made::kAveraged || atom.made == Made::kMixed) {
      if (roots_of(flow, {id}).count(root) != 0) {
        seen.insert(id);
      }
    } else {
      open.insert(open.end(), atom.base.begin(), atom.base.end());
    }
  }
  return seen.empty() ? Axis{root} : Axis(seen.begin(), seen.end());
}

Told::Told(const Flow& flow, const Origin& origin) : flow_(flow), is_input_(origin.kind == Origin::Kind::kInput) {
  add_roots(origin.features);
  if (origin.no_batch) {
    for (const Axis& axis : origin.dims) {
      add_roots(axis);
    }
  }
}

void Told::add_roots(const Axis& axis) {
  const std::set<AtomId> roots = roots_of(flow_, axis);
  roots_.insert(roots.begin(), roots.end());
}

void Told::add(const Read& read) {
  add_used(read.features);
  for (const Axis& axis : read.positions) {
    add_roots(axis);
  }
  if (read.sum >= 0 && is_input_) {
    for (const AtomId id : flow_.origins[static_cast<size_t>(read.sum)].features) {
      add_used(read.image.at(id));
    }
  }
  for (const AtomId id : ancestry(flow_, all_leaves(flow_, read.value))) {
    if (atom_of(flow_, id).made == Made::kResampled) {
      add_roots({id});
    }
  }
}

void Told::add_single_positions(const Origin& origin) {
  const auto told = [this](const Axis& axis) { return roots_.count(axis[0]) != 0; };
  if (std::any_of(origin.positions.begin(), origin.positions.end(), told)) {
    for (const Axis& axis : origin.positions) {
      if (is_one(flow_, axis[0])) {
        roots_.insert(axis[0]);
      }
    }
  }
}

std::vector<AtomId> Told::ordered(const Origin& origin) const {
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

// An axis averaged away is not told apart by who reads the one coordinate left of it, nor is a batch of one. Of an
// input nobody but its readers says what its axes are: there an axis of size 1 may be the only channel.
void Told::add_used(const Axis& axis) {
  for (const AtomId id : leaves_of(flow_, axis)) {
    const Made made = atom_of(flow_, id).made;
    if (!is_one(flow_, id) || (is_input_ && (made == Made::kProduced || made == Made::kPart))) {
      add_roots({id});
    }
  }
}

}  // namespace dynascope::network
