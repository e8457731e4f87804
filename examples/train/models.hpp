// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>

namespace examples {

/// A network that tells inputs apart: images (N, channels, side, side) to one score (logit) per class (N, classes), or
/// characters (N, length) to the scores of the one that follows each (N, characters, length).
class Classifier : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(const torch::Tensor& inputs) = 0;
};

/// The network called `name`, with LibTorch's own random start values.
///
/// "mlp": fully connected, pixels-200-100-classes. "cnn": after LeNet-5, two convolutions with pooling and three fully
/// connected layers (for 28 x 28 images LeNet-5's sizes, 61,706 parameters; smaller images have smaller kernels).
/// "resnet18": ResNet-18 with a 3 x 3 stem, for small images. "lstm": two LSTM layers that read an image row by row.
/// "transformer": two encoder layers whose tokens are the rows.
///
/// @throws std::invalid_argument for any other name (lists those that exist)
std::shared_ptr<Classifier> make_model(const std::string& name, int64_t side, int64_t classes);

/// The network called `name` for text: "transformer", two encoder layers that see the characters so far.
///
/// @throws std::invalid_argument for any other name
std::shared_ptr<Classifier> make_text_model(const std::string& name, int64_t length, int64_t characters);

}  // namespace examples
