// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/run_description.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace dynascope {

/// How one axis is resampled between the layer that writes it and the one that reads it (pooling, mean over positions).
struct Resampling {
  int64_t produced = 0;  ///< coordinates that the producer writes
  int64_t seen = 0;      ///< coordinates that the reader sees
  /// (seen, produced) row-major: the operation's own coefficients; 0 where there is no link.
  std::vector<double> coefficients;
};

/// One position axis of a convolution. Output coordinate o meets input coordinate o * stride - padding + dilation *
/// tap; for transposed convolutions with input and output exchanged.
struct ConvolutionAxis {
  int64_t input = 0;   ///< coordinates of the tensor that the operator reads
  int64_t output = 0;  ///< coordinates of the tensor that it writes, before any resampling
  int64_t kernel = 1;  ///< taps
  int64_t stride = 1;
  int64_t padding = 0;  ///< padded cells before the first coordinate
  int64_t dilation = 1;
};

/// How the units of a node layer meet the rows or columns of a weight.
///
/// Index i of the weight's side (an output or input feature or channel) meets channel or unit n of the node layer when
/// i = first + n * stride + block * block_stride for some block in [0, blocks). Gates of recurrent layers are blocks.
struct LinkEnd {
  /// Position in Network::node_layers. At a target, -1 stands for a node layer that is not written: its resampling
  /// still is part of the links that leave the sources.
  int32_t node_layer = -1;
  /// False: n counts channels (axis 0 of the node layer), every position of a channel is linked alike but for the
  /// convolution's borders. True: n counts units in row-major order (a reader or writer of the flattened tensor).
  bool per_unit = false;
  int64_t first = 0;
  int64_t stride = 1;
  int64_t blocks = 1;
  int64_t block_stride = 0;
  /// Explicit permutation: n -> i, -1 where n has no link; empty for the affine rule above.
  std::vector<int64_t> order;
  /// Target ends only, per position axis of the node layer: what stands between the weight layer and the node layer it
  /// writes. Empty, or an entry with empty coefficients: nothing.
  std::vector<Resampling> resampling;
  /// Source ends only, per position axis of the node layer: the coordinate of each cell that the operator reads
  /// (padding that copies cells, a crop, a broadcast). Empty, or an empty entry: every coordinate once, in order. Where
  /// the operator has no kernel along the axis: the coordinates that it reads.
  std::vector<std::vector<int64_t>> cells;
};

/// A node layer: units that a weight layer reads or writes.
struct NodeLayer {
  std::string name;
  Role role = Role::kHidden;
  bool input = false;   ///< its units have the virtual incoming link of option boundary
  bool output = false;  ///< its units have the virtual outgoing link
  /// Units per axis: features or channels first, then position axes where a neighbour tells positions apart.
  std::vector<int64_t> shape;
};

/// A weight layer: one use of one weight parameter that maps units to units linearly.
struct WeightLayer {
  std::string name;           ///< the parameter's path, for example "fc1.weight"
  std::string operator_name;  ///< the operator that used it, for example "conv2d"
  /// The parameter itself (shares its storage), a view of the rows used, or a ComputedWeight's value. Dimension 0 holds
  /// the outputs and dimension 1 the inputs of a group; the other way round when `transposed`. Further dimensions are
  /// kernel taps.
  at::Tensor weight;
  at::Tensor bias;  ///< (outputs,), undefined where there is none; a ComputedWeight's value as `weight` may be
  bool transposed = false;
  int64_t groups = 1;
  std::vector<ConvolutionAxis> axes;  ///< one per kernel dimension
  /// Node layers that it reads and writes. One is missing where it could not be placed (see Network::skipped).
  std::vector<LinkEnd> sources;
  std::vector<LinkEnd> targets;
};

/// Links of weight 1 from an operand of a sum or elementwise product, which others read too, to the node layer that the
/// sum makes (docs/metrics.md, section 1, rule 5). Both kinds of ends count the units of the operand: unit n of a
/// target copies the unit that its index names; a source has as many `blocks` as copies are made of each of its units.
struct IdentityLayer {
  std::vector<LinkEnd> sources;
  std::vector<LinkEnd> targets;
};

/// A parameter of the traced module.
struct NamedParameter {
  std::string name;
  at::Tensor value;  ///< shares the parameter's storage
};

/// A weight or bias that the forward pass computes from parameters alone (weight norm, a low-rank sum): what links
/// units is what comes out. Computed again before every measurement.
struct ComputedWeight {
  at::Tensor value;  ///< in whose memory weight layers find it
  /// Positions in Network::parameters.
  std::vector<size_t> parameters;
  /// The weight, from the values of those parameters, in their order.
  std::function<at::Tensor(const std::vector<at::Tensor>& parameters)> compute;
};

/// A neural network as a directed weighted graph (docs/metrics.md, section 1): node layers, weight layers, and how they
/// meet. Plain data; made by trace() or NetworkBuilder; knows nothing of options, files or devices.
struct Network {
  /// Only layers all of whose incoming and outgoing links are known. Execution order.
  std::vector<NodeLayer> node_layers;
  std::vector<WeightLayer> weight_layers;      ///< execution order
  std::vector<IdentityLayer> identity_layers;  ///< execution order of their targets
  std::vector<SkippedInfo> skipped;            ///< what is not in the graph, and why
  std::vector<NamedParameter> parameters;      ///< all parameters of the module, each tensor once
  std::vector<ComputedWeight> computed;        ///< weights that are no parameters
};

/// Checks that indices, shapes and sizes of `network` fit together.
/// @throws Error naming the first thing that does not fit
DYNASCOPE_API void check(const Network& network);

/// Prints layers and connections, one per line, and how much of the weights is placed, readable by a person.
DYNASCOPE_API std::ostream& operator<<(std::ostream& stream, const Network& network);

/// Weights, of all that weight layers hold, whose layer links written node layers on both sides: 0 to 1; 1 without any.
DYNASCOPE_API double placed_share(const Network& network);

/// The graph for Graphviz (`dot -Tsvg`): node layers with their shapes, weight layers as arrows, identity links dashed.
DYNASCOPE_API std::string to_dot(const Network& network);

/// The graph as JSON: "node_layers" (name, role, shape), "weight_layers" (name, operator, shape, bias, sources,
/// targets), "identity_layers" (sources, targets) and "skipped" (name, reason). Sources and targets are names of node
/// layers.
DYNASCOPE_API std::string to_json(const Network& network);

}  // namespace dynascope
