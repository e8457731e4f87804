// SPDX-License-Identifier: BSD-3-Clause
#include "architecture.hpp"

#include <dynascope/trace.hpp>

#include <torch/torch.h>

#include <stdexcept>

namespace examples {
namespace {

constexpr int64_t kLastHidden = 200;
constexpr int64_t kKernel = 3;

}  // namespace

std::vector<Layer> make_layers(const std::string& model, int64_t hidden, int64_t channels, int64_t side,
                               int64_t classes) {
  if (model == "fc") {
    return {{"fc1", {hidden, channels * side * side}},
            {"fc2", {hidden, hidden}},
            {"fc3", {kLastHidden, hidden}},
            {"fc4", {classes, kLastHidden}}};
  }
  if (model != "cnn") {
    throw std::invalid_argument("the model must be fc or cnn, got " + model);
  }
  const int64_t rest = side - 2 * (kKernel - 1);
  if (rest < 1) {
    throw std::invalid_argument("two 3 x 3 convolutions need images of 5 x 5 or more, got " + std::to_string(side) +
                                " x " + std::to_string(side));
  }
  return {{"conv1", {hidden, channels, kKernel, kKernel}},
          {"conv2", {hidden, hidden, kKernel, kKernel}},
          {"fc1", {kLastHidden, hidden * rest * rest}},
          {"fc2", {classes, kLastHidden}}};
}

int64_t count_parameters(const std::vector<Layer>& layers) {
  int64_t count = 0;
  for (const Layer& layer : layers) {
    int64_t weights = 1;
    for (const int64_t size : layer.weight) {
      weights *= size;
    }
    count += weights + layer.weight[0];
  }
  return count;
}

torch::nn::Sequential make_module(const std::vector<Layer>& layers) {
  torch::nn::Sequential module;
  bool flat = false;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    if (!layer.convolution() && !flat) {
      module->push_back("flatten", torch::nn::Flatten());
      flat = true;
    }
    if (layer.convolution()) {
      module->push_back(std::string(layer.name),
                        torch::nn::Conv2d(torch::nn::Conv2dOptions(layer.weight[1], layer.weight[0], layer.weight[2])));
    } else {
      module->push_back(std::string(layer.name), torch::nn::Linear(layer.weight[1], layer.weight[0]));
    }
    if (i + 1 < layers.size()) {
      module->push_back(std::string("relu_" + layer.name), torch::nn::ReLU());
    }
  }
  return module;
}

dynascope::Network trace_layers(const std::vector<Layer>& layers, int64_t channels, int64_t side) {
  torch::nn::Sequential module = make_module(layers);
  // A flat image where nothing looks at its rows and columns, so that its pixels are one axis of the input layer.
  at::Tensor image = at::zeros({1, channels, side, side});
  if (!layers[0].convolution()) {
    image = image.flatten(1);
  }
  return dynascope::trace(module, [&] { return module->forward(image); });
}

}  // namespace examples
