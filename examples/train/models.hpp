// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>

namespace examples {

/// A network that tells images apart: (N, channels, side, side) to one score (logit) per class (N, classes).
class Classifier : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;
};

/// The network called `name`, with LibTorch's own random start values.
///
/// "mlp": fully connected, pixels-200-100-classes. "cnn": after LeNet-5, two convolutions with pooling and three fully
/// connected layers (for 28 x 28 images LeNet-5's sizes, 61,706 parameters; smaller images have smaller kernels).
///
/// @throws std::invalid_argument for any other name (lists those that exist)
std::shared_ptr<Classifier> make_model(const std::string& name, int64_t side, int64_t classes);

}  // namespace examples
