// SPDX-License-Identifier: BSD-3-Clause
#include "models.hpp"

#include "convolutional.hpp"

#include <stdexcept>
#include <utility>

namespace overhead {
namespace {

namespace nn = torch::nn;
using dynascope::test::zoo::LeNet5;
using dynascope::test::zoo::Model;
using dynascope::test::zoo::ResNet;
using torch::Tensor;

struct Mlp : Model {
  nn::Linear fc1 = linear("fc1", 784, 200), fc2 = linear("fc2", 200, 100), fc3 = linear("fc3", 100, 10);
  Tensor forward(const Tensor& x) override { return fc3(torch::relu(fc2(torch::relu(fc1(x.flatten(1)))))); }
};

/// Reads an image row by row.
struct Lstm : Model {
  nn::LSTM lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(28, 128).num_layers(2).batch_first(true)));
  nn::Linear fc = linear("fc", 128, 10);
  Tensor forward(const Tensor& x) override { return fc(std::get<0>(lstm(x.squeeze(1))).select(1, -1)); }
};

/// An image's rows are the tokens.
struct Transformer : Model {
  static constexpr int64_t kWidth = 128;
  nn::Linear embed = linear("embed", 28, kWidth);
  nn::TransformerEncoder encoder = register_module(
      "encoder", nn::TransformerEncoder(nn::TransformerEncoderOptions(
                     nn::TransformerEncoderLayerOptions(kWidth, 4).dim_feedforward(4 * kWidth).dropout(0.0), 4)));
  nn::Linear fc = linear("fc", kWidth, 10);
  Tensor forward(const Tensor& x) override { return fc(encoder(embed(x.squeeze(1)).transpose(0, 1)).mean(0)); }
};

struct Shape {
  int64_t batch, channels, side, classes;
};

Task task_of(std::shared_ptr<Model> model, const Shape& shape, const torch::Device& device) {
  model->to(device);
  Task task;
  task.module = model;
  task.forward = [model](const Tensor& x) { return model->forward(x); };
  task.data = torch::randn({shape.batch, shape.channels, shape.side, shape.side}, device);
  task.target = torch::randint(shape.classes, {shape.batch}, torch::TensorOptions(torch::kLong).device(device));
  return task;
}

}  // namespace

std::vector<std::string> task_names() { return {"mlp", "lenet5", "lstm", "transformer", "resnet18", "resnet50"}; }

Task make_task(const std::string& name, const torch::Device& device) {
  const Shape digits{128, 1, 28, 10};
  const Shape photographs{device.is_cuda() ? 32 : 4, 3, 224, 1000};
  if (name == "mlp") {
    return task_of(std::make_shared<Mlp>(), digits, device);
  }
  if (name == "lenet5") {
    return task_of(std::make_shared<LeNet5>(), digits, device);
  }
  if (name == "lstm") {
    return task_of(std::make_shared<Lstm>(), digits, device);
  }
  if (name == "transformer") {
    return task_of(std::make_shared<Transformer>(), digits, device);
  }
  if (name == "resnet18") {
    return task_of(std::make_shared<ResNet>(std::vector<int64_t>{2, 2, 2, 2}, false), photographs, device);
  }
  if (name == "resnet50") {
    return task_of(std::make_shared<ResNet>(std::vector<int64_t>{3, 4, 6, 3}, true), photographs, device);
  }
  throw std::invalid_argument("no model '" + name + "'");
}

}  // namespace overhead
