// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Makes atoms of atoms. The same map of the same atoms is the same atom: two readers behind equal pooling see one node
// layer.

#include "flow.hpp"

#include <map>
#include <tuple>
#include <vector>

namespace dynascope::network {

class Atoms {
 public:
  explicit Atoms(Flow& flow);

  AtomId produced(int64_t size, AtomId mirror = -1);
  AtomId resampled(Atom::Made made, AtomId base, int64_t size, std::vector<double> coefficients);
  AtomId gathered(const Axis& base, std::vector<int64_t> map);
  AtomId mixed(const Axis& base, int64_t size);

  /// The axis as one atom.
  AtomId merged(const Axis& axis);

  /// Parts of `id`, outer to inner; `sizes` are above 1 and their product is the atom's.
  Axis split(AtomId id, const std::vector<int64_t>& sizes);

  /// Leaves, an atom's parts put together where all stand in a row.
  Axis coarse(const Axis& axis) const;

 private:
  using Key = std::tuple<Atom::Made, Axis, int64_t, std::vector<int64_t>, std::vector<double>>;

  AtomId add(Atom atom);
  AtomId derived(Atom atom);

  Flow& flow_;
  std::map<Key, AtomId> known_;
};

/// Puts the image in place of the atoms of an origin, in everything that is made of them.
class Substitution {
 public:
  Substitution(Flow& flow, Atoms& atoms, const Image& image) : flow_(flow), atoms_(atoms), image_(image) {}

  Axis axis(const Axis& axis);
  /// `value` of the origin that `operand` belongs to, in terms of the operand.
  Activation activation(const Activation& value, const Activation& operand);

 private:
  AtomId atom(AtomId id);
  AtomId make(AtomId id);

  Flow& flow_;
  Atoms& atoms_;
  const Image& image_;
  std::map<AtomId, AtomId> done_;
};

}  // namespace dynascope::network
