// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

/// Random networks that branch and join, and the strengths of their node layers by definition: a layer applied to ones,
/// and the gradient of the sum of what is written. Nothing here knows how the trace works; docs/metrics.md, section 1,
/// is followed channel by channel.
namespace oracle {

struct GraphNode {
  enum class Kind {
    kInput,
    kWeight,       ///< a layer with weights
    kResampling,   ///< pooling, interpolation
    kTransparent,  ///< activations, normalisation
    kSum,          ///< add, sub, mul
    kCat,
    kSlice,  ///< channels `first` to `first + count`
    kOutput,
  };
  Kind kind = Kind::kInput;
  std::vector<size_t> arguments;
  std::string name;  ///< weights: the module's path; sums: "add" or "mul"
  /// What the model does.
  std::function<at::Tensor(const std::vector<at::Tensor>&)> run;
  /// Weights, resampling: the linear map in float64 without bias, with max pooling as the mean over valid cells.
  std::function<at::Tensor(const at::Tensor&)> map;
  at::Tensor bias;
  int64_t first = 0, count = 0;
  std::vector<int64_t> sizes;  ///< of the tensor made, with a batch of 1
};

struct Graph {
  torch::nn::Module module;
  std::vector<GraphNode> nodes;
  std::string text;  ///< for failure messages

  at::Tensor forward(const at::Tensor& x) const;
  dynascope::Network trace() const;
};

struct ExpectedLayer {
  std::string name;
  at::Tensor strength;  ///< (channels, positions...)
};

/// Every node layer of `graph`, in no order.
std::vector<ExpectedLayer> expected_layers(const Graph& graph);

/// Equal seeds give equal graphs.
std::shared_ptr<Graph> random_graph(uint64_t seed);

}  // namespace oracle
