// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "architecture.hpp"
#include "protocol.hpp"
#include "train/data.hpp"

#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace examples {

/// Many networks of one shape that are trained at once, on the same images in the same order.
///
/// Every parameter is stacked on a leading axis, one entry per network. The first layer, whose input all networks
/// share, is one matrix product or convolution with the outputs of all networks side by side; later linear layers are
/// batched products (baddbmm); later convolutions run network by network, which is faster than one with groups. No
/// network's values ever meet another's, so a network that diverges to NaN leaves its neighbours alone.
class Stack {
 public:
  /// Draws the start values: each network's from its own seed, layer by layer, the weight before the bias.
  /// @param group  networks with SGD before those with Adam
  Stack(std::vector<Layer> layers, Group group, double scale);

  const Group& nets() const noexcept { return nets_; }
  int64_t size() const noexcept { return static_cast<int64_t>(nets_.size()); }

  /// One optimizer step of every network: SGD (0.01) or Adam (0.001, 0.9, 0.999, 1e-8), as LibTorch's.
  /// @param images  (batch, channels, side, side)
  /// @param labels  (batch,)
  void step(const at::Tensor& images, const at::Tensor& labels);

  struct Scores {
    std::vector<double> accuracy;
    std::vector<double> loss;  ///< mean cross-entropy
  };
  /// Of every network on `data`.
  Scores evaluate(const LabelledImages& data) const;

  /// Lets go of the networks that have been trained for as many epochs as they should.
  void keep_longer_than(int64_t epochs);

  /// Stacked, under the names that they have in the module of one network.
  std::vector<dynascope::NamedParameter> parameters() const;

 private:
  struct Parameter {
    at::Tensor value;
    at::Tensor mean, square;  // Adam's, of the networks that have it
  };

  at::Tensor scores_of(const at::Tensor& images) const;
  at::Tensor convolve(size_t layer, const at::Tensor& input) const;
  at::Tensor multiply(size_t layer, const at::Tensor& input) const;
  void update(const std::vector<at::Tensor>& gradients);

  std::vector<Layer> layers_;
  Group nets_;
  std::vector<Parameter> parameters_;  // weight and bias of each layer
  int64_t with_sgd_ = 0;
  int64_t steps_ = 0;
};

}  // namespace examples
