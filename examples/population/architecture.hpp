// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/network.hpp>

#include <torch/nn/modules/container/sequential.h>

#include <cstdint>
#include <string>
#include <vector>

namespace examples {

/// One layer with weights; behind every one but the last is a ReLU.
struct Layer {
  std::string name;
  std::vector<int64_t> weight;  ///< (out, in), or of a convolution (out, in, 3, 3)

  bool convolution() const { return weight.size() == 4; }
};

/// The paper's networks. "fc": pixels-hidden-hidden-200-classes. "cnn": two 3 x 3 convolutions of `hidden` channels
/// without padding, then 200-classes.
/// @throws std::invalid_argument for another model, or images too small for it
std::vector<Layer> make_layers(const std::string& model, int64_t hidden, int64_t channels, int64_t side,
                               int64_t classes);

int64_t count_parameters(const std::vector<Layer>& layers);

/// The same as a module of LibTorch's own, for images (N, channels, side, side).
torch::nn::Sequential make_module(const std::vector<Layer>& layers);

/// What dynascope finds in one such network.
dynascope::Network trace_layers(const std::vector<Layer>& layers, int64_t channels, int64_t side);

}  // namespace examples
