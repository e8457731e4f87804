// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "graph.hpp"

#include <torch/nn/options/conv.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace oracle {

/// Draws a Graph node by node. Every method returns the new node's position; tensors are (1, channels, height, width).
class Drawing {
 public:
  explicit Drawing(std::vector<int64_t> input);

  /// @param mirrored  the padding mirrors the map
  size_t convolution(const std::string& name, size_t from, const torch::nn::Conv2dOptions& options,
                     bool mirrored = false);
  size_t transposed(const std::string& name, size_t from, const torch::nn::ConvTranspose2dOptions& options);
  /// Reads the flattened tensor.
  size_t linear(const std::string& name, size_t from, int64_t outputs);

  using Map = std::function<at::Tensor(const at::Tensor&)>;
  /// Any module that is a linear map and a bias: what it does to units is what its float64 copy does, without what that
  /// makes of zeros.
  template <typename M>
  size_t layer(const std::string& name, size_t from, const torch::nn::ModuleHolder<M>& module) {
    const auto copy = std::dynamic_pointer_cast<M>(module->clone());
    copy->to(at::kDouble);
    return layer(
        name, from, module.ptr(), module->bias, [own = module.ptr()](const at::Tensor& x) { return own->forward(x); },
        [copy](const at::Tensor& x) { return copy->forward(x) - copy->forward(at::zeros_like(x)); });
  }
  size_t layer(const std::string& name, size_t from, std::shared_ptr<torch::nn::Module> module, const at::Tensor& bias,
               Map run, Map map);

  /// @param map  what it does to units
  /// @param run  what the model does, where that is something else (max pooling)
  size_t resampling(const std::string& what, size_t from, Map map, Map run = nullptr);
  size_t window(size_t from, bool most);  ///< 2 x 2
  size_t mean(size_t from);               ///< of all positions, which stay as one

  /// An operator that leaves the node layer what it is; `module`, where there is one, is part of the model.
  size_t transparent(const std::string& what, size_t from, Map run,
                     std::shared_ptr<torch::nn::Module> module = nullptr);
  size_t relu(size_t from, bool in_place = false);
  size_t norm(size_t from);

  enum class Sum { kPlus, kMinus, kInPlace, kTimes };
  size_t sum(size_t a, size_t b, Sum how = Sum::kPlus);
  size_t cat(const std::vector<size_t>& parts);
  size_t slice(size_t from, int64_t first, int64_t count);

  const std::vector<int64_t>& sizes(size_t node) const { return graph_->nodes[node].sizes; }
  const std::vector<GraphNode>& nodes() const { return graph_->nodes; }

  /// The graph that returns `node`; nothing can be drawn afterwards.
  std::shared_ptr<Graph> finish(size_t node);

 private:
  size_t add(GraphNode node, const std::string& what);

  std::shared_ptr<Graph> graph_;
};

}  // namespace oracle
