// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/metric_options.hpp>
#include <dynascope/network.hpp>
#include <dynascope/run_description.hpp>

#include <ATen/core/Tensor.h>

#include <vector>

namespace dynascope {

/// `network` with other parameters under the same names, for instance those of many networks of its shape, stacked.
///
/// A parameter may carry a leading replica axis, (replicas, ...): what the functions below return then has it too. All
/// weights and biases must carry it, or none. One call measures all replicas at once, which for hundreds of small
/// networks takes far less than one call each. Host work only; holds the tensors, reads no values.
///
/// @param parameters  each of the shape that its namesake in Network::parameters has, or with one more axis in front
/// @throws Error when a weight's parameter is missing, or does not fit (says which, and both shapes)
DYNASCOPE_API Network with_parameters(const Network& network, const std::vector<NamedParameter>& parameters);

/// Node strengths of every node layer of `network`, from the parameters as they are now.
///
/// Strength is in-strength plus out-strength, signed (docs/metrics.md, section 2; La Malfa et al. 2021).
/// Parameters may be float64, float32, bfloat16 or float16, on one device; sums follow a fixed tree
/// (docs/determinism.md). Work is enqueued on the current stream; does not synchronise.
///
/// @param network  from trace() or NetworkBuilder; its parameters must be alive and on one device
/// @return one float32 tensor (stored units,) or (replicas, stored units) per node layer, in execution order, on the
///         parameters' device
/// @throws Error when a parameter does not fit the network (says which, from what, to what)
DYNASCOPE_API std::vector<at::Tensor> node_strength(const Network& network, const MetricOptions& options = {});

/// Layer fluctuation of every node layer: the population standard deviation of node strength over its units.
///
/// Work is enqueued on the current stream; does not synchronise.
///
/// @return float64 (node layers,) or (replicas, node layers), in execution order, on the parameters' device
/// @throws Error as node_strength
DYNASCOPE_API at::Tensor layer_fluctuation(const Network& network, const MetricOptions& options = {});

/// Statistics of link weights, one entry per weight layer in execution order; all on the parameters' device. With a
/// replica axis all but `count` are (replicas, weight layers).
struct LinkWeights {
  at::Tensor count;      ///< int64 (weight layers,), entries counted; always on the CPU
  at::Tensor mean;       ///< float64 (weight layers,)
  at::Tensor std;        ///< float64 (weight layers,), ddof 0
  at::Tensor min;        ///< float64 (weight layers,), over finite entries
  at::Tensor max;        ///< float64 (weight layers,), over finite entries
  at::Tensor abs_mean;   ///< float64 (weight layers,)
  at::Tensor norm;       ///< float64 (weight layers,), Euclidean
  at::Tensor nonfinite;  ///< int64 (weight layers,)
};

/// Link-weight statistics of every weight layer (docs/metrics.md, section 2), biases included with Bias::kIn.
///
/// Work is enqueued on the current stream; does not synchronise.
/// @throws Error as node_strength
DYNASCOPE_API LinkWeights link_weights(const Network& network, const MetricOptions& options = {});

/// The node layers of `network` as they are stored under `options`: shapes, coordinate classes, multiplicities.
///
/// Tells how to expand what node_strength returns: reshape to `stored_shape`, then per axis take by `classes`.
/// Host work only; reads no parameter. Of one replica, where there are more.
DYNASCOPE_API std::vector<NodeLayerInfo> node_layer_info(const Network& network, const MetricOptions& options = {});

/// What a row of `network` holds: layers, connections, what was skipped, where it is measured. Histograms are off; who
/// wants them sets `histogram`, `histogram_bins` and `histogram_edges`.
///
/// Host work only; reads no parameter. Of one replica, where there are more.
DYNASCOPE_API RunDescription describe(const Network& network, const MetricOptions& options = {});

/// All that `description` lays out (RowLayout) of every replica, measured in one call: the members of a population
/// file, ready to be written.
///
/// Waits for the device.
/// @param description  from describe(), of this network or one of its shape
/// @return uint8 (replicas, RowLayout::bytes()) on the CPU; one row where there is no replica axis
/// @throws Error as node_strength, or when the description is of another network
DYNASCOPE_API at::Tensor measure_rows(const Network& network, const RunDescription& description);

}  // namespace dynascope
