// SPDX-License-Identifier: BSD-3-Clause
#include "atoms.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace dynascope::network {

using Made = Atom::Made;

Axis leaves_of(const Flow& flow, const Axis& axis) {
  Axis result;
  for (const AtomId id : axis) {
    const Axis& parts = atom_of(flow, id).parts;
    if (parts.empty()) {
      result.push_back(id);
    } else {
      const Axis inner = leaves_of(flow, parts);
      result.insert(result.end(), inner.begin(), inner.end());
    }
  }
  return result;
}

Axis all_leaves(const Flow& flow, const Activation& value) {
  Axis all;
  for (const Axis& axis : value.dims) {
    all.insert(all.end(), axis.begin(), axis.end());
  }
  all.insert(all.end(), value.gone.begin(), value.gone.end());
  return leaves_of(flow, all);
}

int64_t size_of(const Flow& flow, const Axis& axis) {
  return std::accumulate(axis.begin(), axis.end(), int64_t{1},
                         [&](int64_t product, AtomId id) { return product * atom_of(flow, id).size; });
}

std::vector<AtomId> ancestry(const Flow& flow, const Axis& axis) {
  std::vector<AtomId> result;
  std::vector<AtomId> open(axis.begin(), axis.end());
  while (!open.empty()) {
    const AtomId id = open.back();
    open.pop_back();
    if (std::find(result.begin(), result.end(), id) == result.end()) {
      result.push_back(id);
      const Axis& base = atom_of(flow, id).base;
      open.insert(open.end(), base.begin(), base.end());
    }
  }
  return result;
}

Atoms::Atoms(Flow& flow) : flow_(flow) {
  for (size_t id = 0; id < flow.atoms.size(); ++id) {
    const Atom& atom = flow.atoms[id];
    if (atom.made != Made::kProduced && atom.made != Made::kPart) {
      known_.emplace(Key{atom.made, atom.base, atom.size, atom.map, atom.coefficients}, static_cast<AtomId>(id));
    }
  }
}

AtomId Atoms::add(Atom atom) {
  flow_.atoms.push_back(std::move(atom));
  return static_cast<AtomId>(flow_.atoms.size()) - 1;
}

AtomId Atoms::derived(Atom atom) {
  const auto [found, inserted] =
      known_.try_emplace(Key{atom.made, atom.base, atom.size, atom.map, atom.coefficients}, -1);
  if (inserted) {
    found->second = add(std::move(atom));
  }
  return found->second;
}

AtomId Atoms::produced(int64_t size, AtomId mirror) {
  Atom atom;
  atom.size = size;
  atom.mirror = mirror;
  return add(std::move(atom));
}

AtomId Atoms::resampled(Made made, AtomId base, int64_t size, std::vector<double> coefficients) {
  Atom atom;
  atom.made = made;
  atom.base = {base};
  atom.size = size;
  atom.coefficients = std::move(coefficients);
  return derived(std::move(atom));
}

AtomId Atoms::gathered(const Axis& base, std::vector<int64_t> map) {
  Axis axis = coarse(base);
  while (axis.size() == 1 && atom_of(flow_, axis[0]).made == Made::kGathered) {  // a choice of a choice is one choice
    const Atom& inner = atom_of(flow_, axis[0]);
    for (int64_t& coordinate : map) {
      coordinate = coordinate < 0 ? -1 : inner.map[static_cast<size_t>(coordinate)];
    }
    const Axis further = coarse(inner.base);
    axis = further;
  }
  std::vector<int64_t> same(map.size());
  std::iota(same.begin(), same.end(), 0);
  if (axis.size() == 1 && atom_of(flow_, axis[0]).size == static_cast<int64_t>(map.size()) && map == same) {
    return axis[0];
  }
  Atom atom;
  atom.made = Made::kGathered;
  atom.base = std::move(axis);
  atom.size = static_cast<int64_t>(map.size());
  atom.map = std::move(map);
  return derived(std::move(atom));
}

AtomId Atoms::mixed(const Axis& base, int64_t size) {
  Atom atom;
  atom.made = Made::kMixed;
  atom.base = base;
  atom.size = size;
  return add(std::move(atom));
}

AtomId Atoms::merged(const Axis& axis) {
  std::vector<int64_t> map(static_cast<size_t>(size_of(flow_, axis)));
  std::iota(map.begin(), map.end(), 0);
  return gathered(axis, std::move(map));
}

Axis Atoms::split(AtomId id, const std::vector<int64_t>& sizes) {
  if (sizes.size() == 1) {
    return {id};
  }
  Axis parts = atom_of(flow_, id).parts;
  const bool same = parts.size() == sizes.size() &&
                    std::equal(parts.begin(), parts.end(), sizes.begin(),
                               [&](AtomId part, int64_t size) { return atom_of(flow_, part).size == size; });
  if (same) {
    return parts;
  }
  if (!parts.empty()) {  // split otherwise by someone else: another name for it is free
    Atom again;
    again.made = Made::kGathered;
    again.base = {id};
    again.size = atom_of(flow_, id).size;
    again.map.resize(static_cast<size_t>(again.size));
    std::iota(again.map.begin(), again.map.end(), 0);
    return split(derived(std::move(again)), sizes);
  }
  Axis made;
  for (const int64_t size : sizes) {
    Atom part;
    part.made = Made::kPart;
    part.base = {id};
    part.size = size;
    made.push_back(add(std::move(part)));
  }
  flow_.atoms[static_cast<size_t>(id)].parts = made;
  return made;
}

Axis Atoms::coarse(const Axis& axis) const {
  Axis result = leaves_of(flow_, axis);
  for (size_t i = 0; i < result.size();) {
    const Atom& first = atom_of(flow_, result[i]);
    if (first.made == Made::kPart) {
      const Axis& parts = atom_of(flow_, first.base[0]).parts;
      if (i + parts.size() <= result.size() &&
          std::equal(parts.begin(), parts.end(), result.begin() + static_cast<std::ptrdiff_t>(i))) {
        result[i] = first.base[0];
        result.erase(result.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                     result.begin() + static_cast<std::ptrdiff_t>(i + parts.size()));
        i = i == 0 ? 0 : i - 1;  // which may complete the parts of its own base
        continue;
      }
    }
    ++i;
  }
  return result;
}

Axis Substitution::axis(const Axis& axis) {
  Axis result;
  for (const AtomId id : axis) {
    const auto found = image_.find(id);
    if (found != image_.end()) {
      result.insert(result.end(), found->second.begin(), found->second.end());
    } else {
      result.push_back(atom(id));
    }
  }
  return result;
}

AtomId Substitution::atom(AtomId id) {
  const auto [found, inserted] = done_.try_emplace(id, -1);
  if (inserted) {
    const AtomId made = make(id);
    done_[id] = made;
    return made;
  }
  return found->second;
}

AtomId Substitution::make(AtomId id) {
  const auto image = image_.find(id);
  if (image != image_.end()) {
    return atoms_.merged(image->second);
  }
  const Atom old = atom_of(flow_, id);
  switch (old.made) {
    case Made::kPart: {
      const AtomId whole = atom(old.base[0]);
      const Axis siblings = atom_of(flow_, old.base[0]).parts;
      std::vector<int64_t> sizes;
      for (const AtomId sibling : siblings) {
        sizes.push_back(atom_of(flow_, sibling).size);
      }
      const Axis parts = atoms_.split(whole, sizes);
      for (size_t i = 0; i < parts.size(); ++i) {
        done_[siblings[i]] = parts[i];
      }
      return done_[id];
    }
    case Made::kGathered:
      return atoms_.gathered(axis(old.base), old.map);
    case Made::kResampled:
    case Made::kAveraged:
      return atoms_.resampled(old.made, atom(old.base[0]), old.size, old.coefficients);
    case Made::kMixed:
      return atoms_.mixed(axis(old.base), old.size);
    default:
      return id;  // of another origin
  }
}

Activation Substitution::activation(const Activation& value, const Activation& operand) {
  Activation result;
  result.origin = operand.origin;
  for (const Axis& dim : value.dims) {
    result.dims.push_back(axis(dim));
  }
  result.gone = axis(value.gone);
  result.gone.insert(result.gone.end(), operand.gone.begin(), operand.gone.end());
  return result;
}

}  // namespace dynascope::network
