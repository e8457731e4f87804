// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/network_builder.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/container/sequential.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace oracle {

using Map = std::function<at::Tensor(const at::Tensor&)>;

/// One weight layer of a chain, with what stands between it and the next reader.
struct Step {
  std::string name;   ///< path of the module
  at::Tensor weight;  ///< the module's own
  at::Tensor bias;    ///< undefined where there is none
  bool transposed = false;
  int64_t groups = 1;
  /// The layer as a linear map of `x` for any `weight`, without bias. With `all_taps` padded cells hold ones.
  std::function<at::Tensor(const at::Tensor& x, const at::Tensor& weight, bool all_taps)> apply;
  /// Resamplings and relabellings, in order. Max pooling is the mean over the valid cells of its window.
  std::vector<Map> after;

  at::Tensor resample(at::Tensor x) const {
    for (const auto& map : after) {
      x = map(x);
    }
    return x;
  }
};

/// A Sequential, and what it does to units, step by step.
struct Chain {
  torch::nn::Sequential model;
  std::vector<int64_t> input_shape;  ///< with a batch of 2
  std::vector<Step> steps;
  std::string text;  ///< for failure messages
  /// The same chain told to a NetworkBuilder, call by call.
  using Value = dynascope::NetworkBuilder::Value;
  std::vector<std::function<Value(dynascope::NetworkBuilder&, Value)>> calls;

  /// An example input of the model's dtype and device.
  at::Tensor example() const;
};

/// A random chain of convolutions (1 to 3 spatial axes), pools, activations, norms, flatten and linear layers.
/// Equal seeds give equal chains.
Chain random_chain(uint64_t seed);

/// The same with exactly one weight layer, and resamplings behind it.
Chain random_single_layer(uint64_t seed);

}  // namespace oracle
