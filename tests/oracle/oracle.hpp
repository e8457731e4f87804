// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "chain.hpp"

#include <dynascope/metrics.hpp>

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

/// Strengths by definition, in float64, without a closed form: in-strengths are the layer applied to ones,
/// out-strengths the gradient of the sum of what it writes.
namespace oracle {

/// One float64 map per node layer, shaped as the layer's readers see it, without batch.
struct Strengths {
  std::vector<at::Tensor> in, out;
};

/// What the links hold instead of the weights themselves.
struct Links {
  Map value;                ///< of a weight or bias in float64
  double virtual_link = 1;  ///< at input and output nodes, with Boundary::kOne
};

/// The weights as they are.
Links plain();
/// Absolute values: strengths are then the sums that rounding errors are measured against.
Links magnitudes();
/// 1 where a weight is not finite, else 0: a strength is then positive exactly where a link holds a NaN or Inf.
Links nonfinite();
/// Weights that are not finite replaced by 0.
Links finite_part();

Strengths strengths(const Chain& chain, const dynascope::MetricOptions& options, const Links& links = plain());

/// Sum of in- and out-strength, flattened, one per node layer.
std::vector<at::Tensor> total(const Strengths& strengths);

/// Every unit of a node layer from its stored values: run-file.md's recipe. Float64, shape `info.shape`.
at::Tensor expand(const dynascope::NodeLayerInfo& info, const at::Tensor& stored);

/// `map` of shape `info.shape` with the position axes that the node layer does not have put back, so that it has the
/// sizes of `units`, flattened. Undefined where that cannot be done.
at::Tensor spread(const at::Tensor& map, const at::Tensor& units);

/// Every combination of the options, 16 in all.
std::vector<dynascope::MetricOptions> all_options();
std::string text(const dynascope::MetricOptions& options);

}  // namespace oracle
