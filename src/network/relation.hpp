// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which coordinates belong together: the atoms of an activation counted out. Leaves that lead to a common atom are
// counted together, others apart, so that nothing of the size of a whole tensor is built unless a reader flattens it.

#include "flow.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace dynascope::network {

class Relation {
 public:
  /// @param free  leaves whose coordinates run
  Relation(const Flow& flow, const Axis& free);

  /// Nothing of it is anyone's unit: every cell is constant, or of another operand of the join.
  bool empty() const;

  /// Row-major coordinates of `from` (free leaves) and of `to` (atoms that they are made of) that meet, sorted, each
  /// pair once. Nothing where a coordinate of `to` is not known.
  std::optional<std::vector<std::pair<int64_t, int64_t>>> pairs(const Axis& from, const Axis& to) const;

  /// Row-major coordinates of `to` that are met, sorted.
  std::optional<std::vector<int64_t>> met(const Axis& to) const;

  /// Atoms that the coordinates of `axis` decide, alone or with other leaves.
  std::set<AtomId> decided_by(const Axis& axis) const;

 private:
  /// Leaves counted together, and the coordinates of all atoms known from them; cells that are constant left out.
  struct Component {
    Axis leaves;
    size_t count = 0;
    std::map<AtomId, std::vector<int64_t>> values;
  };

  void count(Component& component) const;
  /// The free leaves that `axis` consists of, whoever split them later.
  Axis counted(const Axis& axis) const;
  void climb(Component& component, AtomId from) const;

  const Flow& flow_;
  std::vector<Component> components_;
};

/// The linear map from `root` to `axis`; no coefficients where they are the same. Nothing where other atoms play a
/// part. Root -1: from the single coordinate that all of the axis copies.
std::optional<Resampling> map_from(const Flow& flow, const Axis& axis, AtomId root);

}  // namespace dynascope::network
