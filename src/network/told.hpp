// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which axes of an origin are units, because someone next to it tells their coordinates apart, and what a reader sees
// of them.

#include "flow.hpp"

#include <set>
#include <vector>

namespace dynascope::network {

/// The axes of origins that atoms come from.
std::set<AtomId> roots_of(const Flow& flow, const Axis& axis);

/// What a reader sees of one told axis: the first resampling on the way down to it.
Axis seen_of(const Flow& flow, AtomId root, const Activation& value);

/// Axes of one origin whose coordinates are units.
class Told {
 public:
  Told(const Flow& flow, const Origin& origin);

  void add_roots(const Axis& axis);

  /// What `read` tells apart.
  void add(const Read& read);

  /// Maps one cell high keep that axis beside the others: operands of a sum would not fit together without.
  void add_single_positions(const Origin& origin);

  /// In the order of the tensor's axes, features first.
  std::vector<AtomId> ordered(const Origin& origin) const;

 private:
  void add_used(const Axis& axis);

  const Flow& flow_;
  const bool is_input_;
  std::set<AtomId> roots_;
};

}  // namespace dynascope::network
