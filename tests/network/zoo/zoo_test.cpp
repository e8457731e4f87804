// SPDX-License-Identifier: BSD-3-Clause
// Published networks are placed whole. Images are smaller than published where the network takes any size.
#include "../network_test.hpp"
#include "convolutional.hpp"
#include "sequences.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <set>
#include <string>
#include <vector>

namespace dynascope::test::zoo {
namespace {

int64_t parameters(nn::Module& model) {
  int64_t count = 0;
  std::set<const void*> seen;
  for (const Tensor& parameter : model.parameters()) {
    count += seen.insert(parameter.unsafeGetTensorImpl()).second ? parameter.numel() : 0;
  }
  return count;
}

int64_t links(const Network& network) {
  int64_t count = 0;
  for (const WeightLayer& layer : network.weight_layers) {
    count += layer.weight.numel();
  }
  return count;
}

/// What a trace must leave as it was. Of tensors sums over their bits: a copy of
/// VGG-16 would take long.
struct State {
  std::vector<int64_t> sums;
  std::vector<bool> training;
  Tensor random;

  explicit State(nn::Module& model) : random(at::globalContext().defaultGenerator(at::kCPU).get_state()) {
    for (const auto& tensors : {model.parameters(), model.buffers()}) {
      for (const Tensor& tensor : tensors) {
        const Tensor bits = tensor.detach().flatten().view(tensor.scalar_type() == at::kLong ? at::kLong : at::kInt);
        sums.insert(sums.end(), {bits.sum().item<int64_t>(), tensor.grad().defined(), tensor.requires_grad()});
      }
    }
    for (const auto& module : model.modules(false)) {
      training.push_back(module->is_training());
    }
  }
};

struct Counts {
  int64_t parameters;
  size_t node_layers, weight_layers, identity_layers;
};

Network expect_placed(Model& model, const Tensor& example, const Counts& counts) {
  EXPECT_EQ(parameters(model), counts.parameters);
  const State before(model);
  const Network network = trace(model, [&] { return model.forward(example); });
  const State after(model);
  EXPECT_EQ(before.sums, after.sums) << "parameters, buffers, gradients";
  EXPECT_EQ(before.training, after.training);
  EXPECT_TRUE(before.random.equal(after.random));
  EXPECT_TRUE(network.skipped.empty()) << network;
  EXPECT_EQ(network.node_layers.size(), counts.node_layers) << network;
  EXPECT_EQ(network.weight_layers.size(), counts.weight_layers) << network;
  EXPECT_EQ(network.identity_layers.size(), counts.identity_layers) << network;
  for (const WeightLayer& layer : network.weight_layers) {
    EXPECT_FALSE(layer.sources.empty()) << layer.name;
    EXPECT_FALSE(layer.targets.empty()) << layer.name;
  }
  if (counts.parameters <= 5000000) {
    for (const Tensor& strength : node_strength(network)) {
      EXPECT_TRUE(strength.isfinite().all().item<bool>());
    }
  }
  return network;
}

TEST(Zoo, LeNet5) {
  LeNet5 model;
  const Network network = expect_placed(model, torch::randn({1, 1, 28, 28}), {61706, 6, 5, 0});
  EXPECT_EQ(links(network), 61470);
}
TEST(Zoo, Vgg16) {
  Vgg16 model;
  expect_placed(model, torch::randn({1, 3, 64, 64}), {138357544, 17, 16, 0});
}
TEST(Zoo, ResNet18) {
  ResNet model({2, 2, 2, 2}, false);
  expect_placed(model, torch::randn({1, 3, 64, 64}), {11689512, 19, 21, 5});
}
TEST(Zoo, ResNet50) {
  ResNet model({3, 4, 6, 3}, true);
  expect_placed(model, torch::randn({1, 3, 64, 64}), {25557032, 51, 54, 12});
}
TEST(Zoo, DenseNet121) {
  DenseNet121 model;
  expect_placed(model, torch::randn({1, 3, 64, 64}), {7978856, 138, 121, 0});
}
TEST(Zoo, MobileNetV2) {
  MobileNetV2 model;
  expect_placed(model, torch::randn({1, 3, 64, 64}), {3504872, 54, 53, 10});
}
TEST(Zoo, InceptionBlock) {
  InceptionBlock model;
  expect_placed(model, torch::randn({1, 3, 12, 12}), {171642, 10, 8, 0});
}
TEST(Zoo, UNet) {
  UNet model;
  expect_placed(model, torch::randn({1, 1, 32, 32}), {7696258, 22, 18, 0});
}
TEST(Zoo, ConvNeXtBlock) {
  ConvNeXtBlock model;
  expect_placed(model, torch::randn({1, 3, 32, 32}), {84000, 5, 4, 1});
}
TEST(Zoo, GatedShuffle) {
  GatedShuffle model;
  expect_placed(model, torch::randn({1, 3, 8, 8}), {453, 9, 7, 2});
}
TEST(Zoo, Gpt2Small) {
  Gpt2 model;
  const Network network = expect_placed(model, torch::arange(16).view({2, 8}), {124439808, 76, 75, 24});
  EXPECT_EQ(node(network, "h0.qkv[0:768]").shape, Shape{768});
}
TEST(Zoo, VitB16) {
  VitB16 model;
  const Network network = expect_placed(model, torch::randn({1, 3, 224, 224}), {86567656, 75, 74, 24});
  EXPECT_EQ(node(network, "patches").shape, (Shape{768, 14, 14}));
}
TEST(Zoo, TransformerEncoderDecoder) {
  EncoderDecoder model;
  expect_placed(model, torch::randint(20, {5, 2}), {12510, 37, 35, 10});
}
TEST(Zoo, BidirectionalLstm) {
  BiLstm model;
  const Network network = expect_placed(model, torch::randint(50, {2, 7}), {3723, 5, 10, 0});
  EXPECT_EQ(node_names(network), (Names{"input", "words", "lstm.l0", "lstm.l1", "head"}));
}
TEST(Zoo, TiedAutoencoder) {
  TiedAutoencoder model;
  expect_placed(model, torch::randn({2, 64}), {2440, 5, 4, 0});
}

}  // namespace
}  // namespace dynascope::test::zoo
