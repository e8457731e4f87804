// SPDX-License-Identifier: BSD-3-Clause
#include "relation.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

using Made = Atom::Made;

constexpr size_t kMostCells = size_t{1} << 26;

/// Atoms past which coordinates are not followed: resampling makes coordinates of its own.
bool is_end(const Atom& atom) { return atom.made != Made::kPart && atom.made != Made::kGathered; }

/// Every atom that a leaf leads to, up to the first resampling on each way.
std::set<AtomId> reach(const Flow& flow, AtomId leaf) {
  std::set<AtomId> result;
  std::vector<AtomId> open = {leaf};
  while (!open.empty()) {
    const AtomId id = open.back();
    open.pop_back();
    if (result.insert(id).second && !is_end(atom_of(flow, id))) {
      const Axis& base = atom_of(flow, id).base;
      open.insert(open.end(), base.begin(), base.end());
    }
  }
  return result;
}

using Pairs = std::vector<std::pair<int64_t, int64_t>>;

void sort_unique(Pairs& pairs) {
  if (!std::is_sorted(pairs.begin(), pairs.end())) {  // they mostly are
    std::sort(pairs.begin(), pairs.end());
  }
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
}

std::vector<int64_t> strides_of(const Flow& flow, const Axis& axis) {
  std::vector<int64_t> strides(axis.size(), 1);
  for (size_t i = axis.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * atom_of(flow, axis[i]).size;
  }
  return strides;
}

}  // namespace

Relation::Relation(const Flow& flow, const Axis& free) : flow_(flow) {
  std::vector<std::set<AtomId>> reached;
  for (const AtomId leaf : free) {
    if (atom_of(flow, leaf).size == 0) {
      continue;  // an example without elements says as much as any other
    }
    std::set<AtomId> own = reach(flow, leaf);
    Component component;
    component.leaves = {leaf};
    for (size_t i = 0; i < components_.size();) {
      const bool shares = std::any_of(own.begin(), own.end(), [&](AtomId id) { return reached[i].count(id) != 0; });
      if (!shares) {
        ++i;
        continue;
      }
      own.insert(reached[i].begin(), reached[i].end());
      Axis& leaves = components_[i].leaves;
      if (std::find(leaves.begin(), leaves.end(), leaf) != leaves.end()) {
        component.leaves.clear();  // the same leaf twice: one coordinate
      }
      component.leaves.insert(component.leaves.begin(), leaves.begin(), leaves.end());
      components_.erase(components_.begin() + static_cast<std::ptrdiff_t>(i));
      reached.erase(reached.begin() + static_cast<std::ptrdiff_t>(i));
    }
    components_.push_back(std::move(component));
    reached.push_back(std::move(own));
  }
  for (Component& component : components_) {
    count(component);
  }
}

void Relation::count(Component& component) const {
  component.count = 1;
  for (const AtomId leaf : component.leaves) {
    component.count *= static_cast<size_t>(atom_of(flow_, leaf).size);
    if (component.count > kMostCells) {
      component.count = 0;
      return;
    }
  }
  size_t inner = component.count;
  for (const AtomId leaf : component.leaves) {
    const auto size = static_cast<size_t>(atom_of(flow_, leaf).size);
    inner /= std::max<size_t>(1, size);
    std::vector<int64_t>& values = component.values[leaf];
    values.resize(component.count);
    for (size_t i = 0; i < component.count; ++i) {
      values[i] = static_cast<int64_t>(i / inner % size);
    }
  }
  for (const AtomId leaf : component.leaves) {
    climb(component, leaf);
  }
  std::vector<bool> alive(component.count, true);
  size_t left = component.count;
  for (const auto& [atom, values] : component.values) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] < 0 && alive[i]) {
        alive[i] = false;
        --left;
      }
    }
  }
  if (left == component.count) {
    return;
  }
  for (auto& [atom, values] : component.values) {
    size_t kept = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      if (alive[i]) {
        values[kept++] = values[i];
      }
    }
    values.resize(left);
  }
  component.count = left;
}

/// From one atom to those that it is made of, as far as its coordinates tell theirs.
void Relation::climb(Component& component, AtomId from) const {
  std::vector<AtomId> todo = {from};
  while (!todo.empty()) {
    const AtomId id = todo.back();
    todo.pop_back();
    const Atom& atom = atom_of(flow_, id);
    if (atom.made == Made::kGathered) {
      int64_t inner = size_of(flow_, atom.base);
      const std::vector<int64_t> own = component.values.at(id);
      for (const AtomId base : atom.base) {
        const int64_t size = atom_of(flow_, base).size;
        inner /= size;
        std::vector<int64_t> values(own.size());
        for (size_t i = 0; i < own.size(); ++i) {
          const int64_t cell = own[i] < 0 ? -1 : atom.map[static_cast<size_t>(own[i])];
          values[i] = cell < 0 ? -1 : cell / inner % size;
        }
        if (component.values.emplace(base, std::move(values)).second) {
          todo.push_back(base);
        }
      }
      if (atom.base.empty() && std::any_of(atom.map.begin(), atom.map.end(), [](int64_t cell) { return cell < 0; })) {
        std::vector<int64_t> absent(own.size());
        for (size_t i = 0; i < own.size(); ++i) {
          absent[i] = own[i] < 0 ? -1 : atom.map[static_cast<size_t>(own[i])];
        }
        component.values[id] = std::move(absent);
      }
    } else if (atom.made == Made::kPart) {
      const AtomId whole = atom.base[0];
      const Axis& parts = atom_of(flow_, whole).parts;
      const bool all =
          std::all_of(parts.begin(), parts.end(), [&](AtomId part) { return component.values.count(part) != 0; });
      if (!all || component.values.count(whole) != 0) {
        continue;
      }
      std::vector<int64_t> values(component.values.at(id).size(), 0);
      for (const AtomId part : parts) {
        const std::vector<int64_t>& digits = component.values.at(part);
        for (size_t i = 0; i < values.size(); ++i) {
          values[i] = values[i] < 0 || digits[i] < 0 ? -1 : values[i] * atom_of(flow_, part).size + digits[i];
        }
      }
      component.values.emplace(whole, std::move(values));
      todo.push_back(whole);
    }
  }
}

bool Relation::empty() const {
  return std::any_of(components_.begin(), components_.end(), [](const Component& c) { return c.count == 0; });
}

Axis Relation::counted(const Axis& axis) const {
  Axis result;
  for (const AtomId id : axis) {
    const bool own = std::any_of(components_.begin(), components_.end(), [id](const Component& c) {
      return std::find(c.leaves.begin(), c.leaves.end(), id) != c.leaves.end();
    });
    const Axis parts = own ? Axis{id} : counted(atom_of(flow_, id).parts);
    result.insert(result.end(), parts.begin(), parts.end());
  }
  return result;
}

std::optional<Pairs> Relation::pairs(const Axis& from, const Axis& to) const {
  const Axis leaves = counted(from);
  const std::vector<int64_t> from_strides = strides_of(flow_, leaves);
  const std::vector<int64_t> to_strides = strides_of(flow_, to);
  std::vector<bool> known(to.size());
  for (size_t i = 0; i < to.size(); ++i) {
    known[i] = atom_of(flow_, to[i]).size == 1;
  }
  Pairs result = {{0, 0}};
  for (const Component& component : components_) {
    Pairs own(component.count);
    bool involved = component.count == 0;
    const auto add = [&](AtomId atom, int64_t stride, bool first) {
      const auto found = component.values.find(atom);
      if (found == component.values.end()) {
        return false;
      }
      involved = true;
      for (size_t i = 0; i < component.count; ++i) {
        (first ? own[i].first : own[i].second) += stride * found->second[i];
      }
      return true;
    };
    for (size_t i = 0; i < leaves.size(); ++i) {
      if (std::find(component.leaves.begin(), component.leaves.end(), leaves[i]) != component.leaves.end()) {
        add(leaves[i], from_strides[i], true);
      }
    }
    for (size_t i = 0; i < to.size(); ++i) {
      known[i] = add(to[i], to_strides[i], false) || known[i];
    }
    if (!involved) {
      continue;
    }
    sort_unique(own);
    if (own.size() * result.size() > kMostCells) {
      return {};
    }
    Pairs product;
    product.reserve(own.size() * result.size());
    for (const auto& [x, y] : result) {
      for (const auto& [dx, dy] : own) {
        product.emplace_back(x + dx, y + dy);
      }
    }
    result = std::move(product);
  }
  if (std::find(known.begin(), known.end(), false) != known.end() && !result.empty()) {
    return {};
  }
  sort_unique(result);
  return result;
}

std::optional<std::vector<int64_t>> Relation::met(const Axis& to) const {
  const auto found = pairs({}, to);
  if (!found.has_value()) {
    return {};
  }
  std::vector<int64_t> result;
  for (const auto& [nothing, coordinate] : *found) {
    result.push_back(coordinate);
  }
  return result;
}

std::set<AtomId> Relation::decided_by(const Axis& axis) const {
  std::set<AtomId> result;
  for (const AtomId leaf : leaves_of(flow_, axis)) {
    const std::set<AtomId> own = reach(flow_, leaf);
    result.insert(own.begin(), own.end());
  }
  return result;
}

namespace {

std::vector<double> compose(const std::vector<double>& outer, int64_t seen, const Resampling& inner) {
  std::vector<double> product(static_cast<size_t>(seen * inner.produced), 0.0);
  for (int64_t y = 0; y < seen; ++y) {
    for (int64_t m = 0; m < inner.seen; ++m) {
      const double c = outer[static_cast<size_t>(y * inner.seen + m)];
      for (int64_t x = 0; c != 0 && x < inner.produced; ++x) {
        product[static_cast<size_t>(y * inner.produced + x)] +=
            c * inner.coefficients[static_cast<size_t>(m * inner.produced + x)];
      }
    }
  }
  return product;
}

/// Atoms of size 1 beside others name chosen coordinates of other axes.
Axis proper(const Flow& flow, const Axis& axis, AtomId root) {
  Axis result = leaves_of(flow, axis);
  result.erase(std::remove_if(result.begin(), result.end(),
                              [&](AtomId id) {
                                const std::vector<AtomId> all = ancestry(flow, {id});
                                return atom_of(flow, id).size == 1 &&
                                       std::find(all.begin(), all.end(), root) == all.end();
                              }),
               result.end());
  return result;
}

/// All parts of one atom, in order: that atom.
Axis whole(const Flow& flow, Axis axis) {
  while (axis.size() > 1 && atom_of(flow, axis[0]).made == Made::kPart &&
         leaves_of(flow, {atom_of(flow, axis[0]).base[0]}) == leaves_of(flow, axis)) {
    axis = {atom_of(flow, axis[0]).base[0]};
  }
  return axis;
}

}  // namespace

std::optional<Resampling> map_from(const Flow& flow, const Axis& axis, AtomId root) {
  const int64_t size = size_of(flow, axis);
  if (leaves_of(flow, axis) == leaves_of(flow, {}) || (root < 0 && size == 1)) {
    return root < 0 || atom_of(flow, root).size == 1 ? std::optional(Resampling{1, 1, {}}) : std::nullopt;
  }
  if (root >= 0 && leaves_of(flow, axis) == leaves_of(flow, {root})) {
    return Resampling{size, size, {}};
  }
  const Axis single = whole(flow, proper(flow, axis, root));
  if (single.size() != 1) {
    return {};
  }
  if (single[0] == root) {
    return Resampling{size, size, {}};
  }
  const Atom& atom = atom_of(flow, single[0]);
  if (is_end(atom) && atom.coefficients.empty()) {
    return {};
  }
  if (atom.made == Made::kPart) {
    return {};
  }
  std::optional<Resampling> inner = map_from(flow, atom.base, root);
  if (!inner.has_value()) {
    return {};
  }
  std::vector<double> outer = atom.coefficients;
  if (atom.made == Made::kGathered) {
    outer.assign(static_cast<size_t>(atom.size * inner->seen), 0.0);
    for (int64_t y = 0; y < atom.size; ++y) {
      if (const int64_t cell = atom.map[static_cast<size_t>(y)]; cell >= 0) {
        outer[static_cast<size_t>(y * inner->seen + cell)] = 1.0;
      }
    }
  }
  Resampling result{inner->produced, atom.size, {}};
  result.coefficients = inner->coefficients.empty() ? outer : compose(outer, atom.size, *inner);
  return result;
}

}  // namespace dynascope::network
