// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What every operator does to a Flow. The readers of operators and NetworkBuilder say it in these words.

#include "flow.hpp"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace dynascope::network {

/// Thrown where units cannot be followed; says why. The flow is unchanged but for unused atoms.
struct NotFollowed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A convolution before it is applied: one value per position axis.
struct Convolution {
  std::vector<int64_t> stride, padding, dilation;
  std::vector<int64_t> output;  ///< coordinates written
};

class FlowBuilder {
 public:
  Flow flow;

  Activation input(std::string name, const std::vector<int64_t>& sizes, bool given, bool no_batch);
  /// What an operator that is not understood makes of `sources` (origins).
  Activation unknown(std::string operation, const std::vector<int64_t>& sizes, std::vector<int32_t> sources);

  std::vector<int64_t> sizes(const Activation& value) const;
  int64_t size(const Axis& axis) const;
  bool same_units(const Activation& a, const Activation& b) const;

  Activation reshape(const Activation& value, const std::vector<int64_t>& sizes);
  Activation permute(const Activation& value, const std::vector<int64_t>& order) const;
  Activation squeeze(const Activation& value, size_t dim) const;
  Activation unsqueeze(const Activation& value, size_t dim) const;

  Activation resample(const Activation& value, size_t dim, const Resampling& resampling);
  Activation pad(const Activation& value, size_t dim, int64_t before, int64_t after);
  Activation select(const Activation& value, size_t dim, int64_t count);
  /// Averages over the axis; it keeps size 1.
  Activation average(const Activation& value, size_t dim);

  /// `dim` of `source` holds the features; the output has them in the same place.
  Activation linear(const Activation& source, size_t dim, Use use);
  /// Channels at `dim`, positions behind it.
  Activation convolve(const Activation& source, size_t dim, Use use, Convolution convolution);

  void output(const Activation& value);
  void read_by_unknown(const Activation& value, std::string operation, std::string reason);

 private:
  AtomId add(Atom atom);
  AtomId derive(Atom atom);
  AtomId only_atom(const Axis& axis, const char* what) const;
  Axis leaves(const Axis& axis) const;
  Axis fresh(const Axis& axis);
  Activation write(Origin origin, Use use, Read read);
};

}  // namespace dynascope::network
