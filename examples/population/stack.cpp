// SPDX-License-Identifier: BSD-3-Clause
#include "stack.hpp"

#include "initialiser.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

namespace examples {
namespace {

constexpr double kSgdRate = 0.01;
constexpr double kAdamRate = 0.001;
constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEpsilon = 1e-8;

std::vector<int64_t> stacked(int64_t count, const std::vector<int64_t>& shape) {
  std::vector<int64_t> sizes{count};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return sizes;
}

}  // namespace

Stack::Stack(std::vector<Layer> layers, Group group, double scale)
    : layers_(std::move(layers)), nets_(std::move(group)) {
  for (const Layer& layer : layers_) {
    parameters_.push_back({at::empty(stacked(size(), layer.weight)), {}, {}});
    parameters_.push_back({at::empty({size(), layer.weight[0]}), {}, {}});
  }
  for (int64_t i = 0; i < size(); ++i) {
    const Net& net = nets_[static_cast<size_t>(i)];
    at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(net.seed));
    for (const Parameter& parameter : parameters_) {
      initialise(parameter.value[i], net.initialiser, scale, generator);
    }
    with_sgd_ += net.adam ? 0 : 1;
  }
  for (Parameter& parameter : parameters_) {
    parameter.mean = at::zeros_like(parameter.value.slice(0, with_sgd_));
    parameter.square = at::zeros_like(parameter.mean);
    parameter.value.requires_grad_(true);
  }
}

// (batch, networks * in, side, side) -> (batch, networks * out, ...); the first layer's input has no networks yet.
at::Tensor Stack::convolve(size_t layer, const at::Tensor& input) const {
  const at::Tensor& weight = parameters_[2 * layer].value;
  const at::Tensor& bias = parameters_[2 * layer + 1].value;
  if (layer == 0) {
    return at::conv2d(input, weight.flatten(0, 1), bias.flatten());
  }
  std::vector<at::Tensor> outputs;
  const std::vector<at::Tensor> inputs = input.split(weight.size(2), 1);
  for (int64_t net = 0; net < size(); ++net) {
    outputs.push_back(at::conv2d(inputs[static_cast<size_t>(net)], weight[net], bias[net]));
  }
  return at::cat(outputs, 1);
}

// (networks, batch, in) -> (networks, batch, out); the first layer's input is (batch, in).
at::Tensor Stack::multiply(size_t layer, const at::Tensor& input) const {
  const at::Tensor& weight = parameters_[2 * layer].value;
  const at::Tensor& bias = parameters_[2 * layer + 1].value;
  if (layer == 0) {
    const at::Tensor all = at::linear(input, weight.flatten(0, 1), bias.flatten());
    return all.view({input.size(0), size(), -1}).transpose(0, 1);
  }
  return at::baddbmm(bias.unsqueeze(1), input, weight.transpose(1, 2));
}

at::Tensor Stack::scores_of(const at::Tensor& images) const {
  at::Tensor values = layers_[0].convolution() ? images : images.flatten(1);
  bool flat = !layers_[0].convolution();
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (layers_[layer].convolution()) {
      values = convolve(layer, values);
    } else {
      if (!std::exchange(flat, true)) {
        values = values.view({images.size(0), size(), -1}).transpose(0, 1);
      }
      values = multiply(layer, values);
    }
    if (layer + 1 < layers_.size()) {
      values = at::relu(values);
    }
  }
  return values;
}

void Stack::step(const at::Tensor& images, const at::Tensor& labels) {
  const at::Tensor scores = scores_of(images);
  // The sum over networks of each one's mean: a parameter's gradient is that of its own network's mean.
  const at::Tensor loss =
      at::cross_entropy_loss(scores.reshape({-1, scores.size(2)}), labels.repeat({size()}), {}, at::Reduction::Sum) /
      labels.size(0);
  std::vector<at::Tensor> values;
  for (const Parameter& parameter : parameters_) {
    values.push_back(parameter.value);
  }
  const auto gradients = torch::autograd::grad({loss}, values);
  update(gradients);
}

void Stack::update(const std::vector<at::Tensor>& gradients) {
  const torch::NoGradGuard no_gradients;
  ++steps_;
  std::vector<at::Tensor> values, slopes, means, squares, steps;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& parameter = parameters_[i];
    if (with_sgd_ > 0) {
      parameter.value.slice(0, 0, with_sgd_).add_(gradients[i].slice(0, 0, with_sgd_), -kSgdRate);
    }
    values.push_back(parameter.value.slice(0, with_sgd_));
    slopes.push_back(gradients[i].slice(0, with_sgd_).contiguous());  // the kernel goes by memory, not by strides
    means.push_back(parameter.mean);
    squares.push_back(parameter.square);
    steps.push_back(at::scalar_tensor(static_cast<double>(steps_)));
  }
  if (with_sgd_ < size()) {
    // One pass over memory, where Adam written out takes ten: half of a step of a network of this size.
    at::_fused_adam_(values, slopes, means, squares, {}, steps, kAdamRate, kBeta1, kBeta2, 0, kEpsilon, false, false);
  }
}

Stack::Scores Stack::evaluate(const LabelledImages& data) const {
  constexpr int64_t kImages = 250;
  const torch::NoGradGuard no_gradients;
  at::Tensor right = at::zeros({size()}, at::kLong);
  at::Tensor loss = at::zeros({size()}, at::kDouble);
  for (int64_t first = 0; first < data.size(); first += kImages) {
    const at::Tensor labels = data.labels.slice(0, first, first + kImages);
    const at::Tensor scores = scores_of(data.images.slice(0, first, first + kImages));
    right += scores.argmax(2).eq(labels).sum(1);
    const at::Tensor each =
        at::cross_entropy_loss(scores.reshape({-1, scores.size(2)}), labels.repeat({size()}), {}, at::Reduction::None);
    loss += each.view({size(), -1}).sum(1, false, at::kDouble);
  }
  Scores result;
  const auto images = static_cast<double>(data.size());
  for (int64_t i = 0; i < size(); ++i) {
    result.accuracy.push_back(static_cast<double>(right[i].item<int64_t>()) / images);
    result.loss.push_back(loss[i].item<double>() / images);
  }
  return result;
}

void Stack::keep_longer_than(int64_t epochs) {
  std::vector<int64_t> kept, kept_adam;
  Group nets;
  for (int64_t i = 0; i < size(); ++i) {
    const Net& net = nets_[static_cast<size_t>(i)];
    if (net.epochs > epochs) {
      nets.push_back(net);
      kept.push_back(i);
      if (net.adam) {
        kept_adam.push_back(i - with_sgd_);
      }
    }
  }
  if (kept.size() == nets_.size()) {
    return;
  }
  const torch::NoGradGuard no_gradients;
  const at::Tensor all = at::tensor(kept, at::kLong);
  const at::Tensor adam = at::tensor(kept_adam, at::kLong);
  for (Parameter& parameter : parameters_) {
    parameter.value = parameter.value.index_select(0, all).requires_grad_(true);
    parameter.mean = parameter.mean.index_select(0, adam);
    parameter.square = parameter.square.index_select(0, adam);
  }
  nets_ = std::move(nets);
  with_sgd_ = static_cast<int64_t>(kept.size() - kept_adam.size());
}

std::vector<dynascope::NamedParameter> Stack::parameters() const {
  std::vector<dynascope::NamedParameter> named;
  for (size_t i = 0; i < layers_.size(); ++i) {
    named.push_back({layers_[i].name + ".weight", parameters_[2 * i].value.detach()});
    named.push_back({layers_[i].name + ".bias", parameters_[2 * i + 1].value.detach()});
  }
  return named;
}

}  // namespace examples
