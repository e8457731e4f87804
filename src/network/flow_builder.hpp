// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What every operator does to a Flow. The readers of operators and NetworkBuilder say it in these words. Three sources:
// flow_builder.cpp has what reads and writes, flow_shapes.cpp what only moves units, combine.cpp sums and joins.

#include "atoms.hpp"
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
  /// Of one node layer whatever their other axes are: tokens of another time, or means of its features, of all or in
  /// windows, as normalisations spelled by hand and LocalResponseNorm divide by.
  bool same_node_layer(const Activation& a, const Activation& b) const;
  const Origin& origin_of(const Activation& value) const { return flow.origins[static_cast<size_t>(value.origin)]; }

  Activation reshape(const Activation& value, const std::vector<int64_t>& sizes);
  Activation permute(const Activation& value, const std::vector<int64_t>& order) const;
  Activation squeeze(const Activation& value, size_t dim) const;
  Activation unsqueeze(const Activation& value, size_t dim) const;
  /// Copies along axes of size 1 and new ones in front.
  Activation expand(const Activation& value, const std::vector<int64_t>& sizes);

  Activation resample(const Activation& value, size_t dim, const Resampling& resampling);
  /// Coordinates of the axis in any order, -1 for constant cells.
  Activation gather(const Activation& value, size_t dim, std::vector<int64_t> map);
  /// Constant cells around; negative: cells dropped.
  Activation pad(const Activation& value, size_t dim, int64_t before, int64_t after);
  Activation slice(const Activation& value, size_t dim, int64_t first, int64_t count, int64_t step = 1);
  /// Averages over the axis; it keeps size 1. Adds up with `factor` 1.
  Activation average(const Activation& value, size_t dim);
  Activation total(const Activation& value, size_t dim);
  /// `size` coordinates, each made of some of the axis: nobody knows of which.
  Activation mix(const Activation& value, size_t dim, int64_t size);

  /// `dim` of `source` holds the features; the output has them in the same place.
  Activation linear(const Activation& source, size_t dim, Use use);
  /// Channels at `dim`, positions behind it.
  Activation convolve(const Activation& source, size_t dim, Use use, Convolution convolution);
  /// Rows of a table, whose entries `vocabulary` are; the last of `sizes` are the features.
  Activation look_up(const Activation& vocabulary, Use use, const std::vector<int64_t>& sizes);
  /// Units of a recurrent layer that runs over `source`, whose last axis holds its features: nobody writes them yet.
  Activation add_units(const Activation& source, std::string name, int64_t units);
  /// `use` reads the last axis of `source` and writes features of `units`.
  void write_units(const Activation& units, const Activation& source, Use use, Writer writer);
  /// The same use reads another activation, a step later.
  void read_again(const Activation& source, int32_t use);

  /// The sum, or elementwise product, of activations that broadcast to `sizes`.
  Activation sum(const std::vector<Activation>& operands, const std::vector<int64_t>& sizes, bool product);
  /// One after the other along `dim`; constants have no activation, only a size there.
  struct Part {
    std::optional<Activation> value;
    int64_t size;
  };
  Activation join(const std::vector<Part>& parts, size_t dim, const std::vector<int64_t>& sizes);

  void output(const Activation& value);
  void read_by_scores(const Activation& value);
  void read_by_unknown(const Activation& value, std::string operation, std::string reason);

 private:
  Axis leaves(const Axis& axis) const { return leaves_of(flow, axis); }
  bool is_batch(const Axis& axis) const;
  Axis fresh(const Axis& axis);
  std::optional<std::vector<Axis>> fit(Axis atoms, const std::vector<int64_t>& sizes);
  std::vector<Axis> refit(const Axis& atoms, const std::vector<int64_t>& sizes);
  Axis align(const std::vector<Axis>& axes, int64_t size, std::vector<Image>& images);
  void align_block(const std::vector<Axis>& blocks, Axis& made, std::vector<Image>& images);
  void find_kinds_of_axes(Origin& origin, const std::vector<Activation>& values, const std::vector<Image>& images);
  int32_t add_use(Use use);
  Activation add_origin(Origin origin);
  Activation write(Origin origin, Use use, Read read);

  Atoms atoms_{flow};
};

}  // namespace dynascope::network
