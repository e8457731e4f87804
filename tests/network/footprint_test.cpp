// SPDX-License-Identifier: BSD-3-Clause
// trace() and walk() leave a module, and training with it, as if they had never been there.
#include "network_test.hpp"

#include <dynascope/trace.hpp>

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <stdexcept>
#include <vector>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

/// Everything in it that a forward pass may change.
struct Net : nn::Module {
  nn::Linear fc{6, 6};
  nn::BatchNorm1d norm{6};
  nn::Dropout dropout{0.5};
  nn::Embedding embedding{nn::EmbeddingOptions(4, 6).max_norm(0.1)};
  Tensor calls;
  Net() {
    register_module("fc", fc);
    register_module("norm", norm);
    register_module("dropout", dropout);
    register_module("embedding", embedding);
    calls = register_buffer("calls", torch::zeros({1}));
  }
  Tensor forward(const Tensor& x, const Tensor& tokens) {
    calls += 1;
    const Tensor noise = torch::rand({6});
    return dropout(norm(fc(x) * noise)) + embedding(tokens);
  }
};

std::vector<Tensor> state_of(const Net& net) {
  std::vector<Tensor> state;
  for (const Tensor& tensor : net.parameters()) {
    state.push_back(tensor.detach().clone());
  }
  for (const Tensor& tensor : net.buffers()) {
    state.push_back(tensor.clone());
  }
  return state;
}

void expect_untouched(const std::function<void(Net&, const Tensor&, const Tensor&)>& action) {
  torch::manual_seed(7);
  Net net;
  net.norm->train(false);  // a flag that differs from its parent's
  const Tensor x = torch::randn({5, 6}), tokens = torch::randint(4, {5});
  const std::vector<Tensor> before = state_of(net);
  const Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();

  action(net, x, tokens);

  EXPECT_TRUE(net.is_training());
  EXPECT_TRUE(net.fc->is_training());
  EXPECT_FALSE(net.norm->is_training());
  EXPECT_TRUE(net.dropout->is_training());
  EXPECT_TRUE(at::GradMode::is_enabled());
  EXPECT_FALSE(at::hasCallbacks());
  const std::vector<Tensor> after = state_of(net);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(before[i].equal(after[i])) << i;
  }
  EXPECT_TRUE(random.equal(at::globalContext().defaultGenerator(at::kCPU).get_state()));
  for (const Tensor& tensor : net.parameters()) {
    EXPECT_TRUE(tensor.requires_grad());
    EXPECT_FALSE(tensor.grad().defined());
  }
  net.forward(x, tokens).sum().backward();
  EXPECT_TRUE(net.fc->weight.grad().defined());
}

TEST(Footprint, TraceLeavesNone) {
  expect_untouched([](Net& net, const Tensor& x, const Tensor& tokens) {
    const Network network = trace(net, [&] {
      EXPECT_FALSE(net.is_training());
      EXPECT_FALSE(at::GradMode::is_enabled());
      return net.forward(x, tokens);
    });
    EXPECT_FALSE(network.weight_layers.empty());
  });
}

TEST(Footprint, AForwardThatThrowsLeavesNone) {
  expect_untouched([](Net& net, const Tensor& x, const Tensor& tokens) {
    EXPECT_THROW(trace(net,
                       [&] {
                         net.forward(x, tokens);
                         throw std::runtime_error("mine");
                       }),
                 std::runtime_error);
  });
}

TEST(Footprint, WalkLeavesNone) {
  expect_untouched([](Net& net, const Tensor& /*x*/, const Tensor& /*tokens*/) { walk({{"", net}}); });
  nn::Sequential model(nn::Linear(3, 4), nn::Dropout(0.5), nn::BatchNorm1d(4), nn::Linear(4, 2));
  const Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();
  const Tensor mean = model[2]->as<nn::BatchNorm1d>()->running_mean.clone();
  EXPECT_EQ(node_names(walk({{"", model}})), (Names{"input", "0", "3"}));
  EXPECT_TRUE(random.equal(at::globalContext().defaultGenerator(at::kCPU).get_state()));
  EXPECT_TRUE(mean.equal(model[2]->as<nn::BatchNorm1d>()->running_mean));
  EXPECT_TRUE(model->is_training());
}

TEST(Footprint, CastsOfATraceInsideAutocastDoNotReachTraining) {
  nn::Linear fc(4, 3);
  const Tensor x = torch::randn({2, 4});
  at::autocast::set_autocast_enabled(at::kCPU, true);
  trace(fc, [&] { return fc->forward(x); });
  fc->forward(x).sum().backward();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_TRUE(fc->weight.grad().defined());
}

TEST(Footprint, TrainingGoesOnBitForBit) {
  const auto train = [](bool traced) {
    torch::manual_seed(3);
    nn::Sequential model(nn::Linear(5, 8), nn::BatchNorm1d(8), nn::Dropout(0.5), nn::Linear(8, 2));
    torch::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
    for (int step = 0; step < 5; ++step) {
      const Tensor x = torch::randn({16, 5});
      if (traced) {
        trace(model, [&] { return model->forward(x); });
      }
      optimizer.zero_grad();
      model->forward(x).square().mean().backward();
      optimizer.step();
    }
    return model[0]->as<nn::Linear>()->weight.detach().clone();
  };
  EXPECT_TRUE(train(false).equal(train(true)));
}

TEST(Walk, AnythingElseIsMeasuredLayerByLayer) {
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(1, 2, 3)), nn::Linear(4, 5));
  Network network = walk({{"net", model}});
  EXPECT_EQ(weight_names(network), (Names{"net.0.weight", "net.1.weight"}));
  EXPECT_TRUE(network.node_layers.empty());
  EXPECT_TRUE(weight(network, "net.0.weight").bias.defined());
  ASSERT_EQ(network.skipped.size(), 1U);
  EXPECT_NE(network.skipped[0].reason.find("trace()"), std::string::npos);
}

TEST(Walk, ASequentialThatWantsAnotherExampleIsMeasuredLayerByLayer) {
  nn::Sequential model(nn::Linear(4, 6), nn::Conv2d(nn::Conv2dOptions(1, 2, 3)));
  const Network network = walk({{"", model}});
  EXPECT_EQ(weight_names(network), (Names{"0.weight", "1.weight"}));
  EXPECT_TRUE(network.node_layers.empty());
  nn::Sequential doubles(nn::Linear(4, 6), nn::ReLU());
  doubles->to(at::kDouble);
  EXPECT_EQ(node_names(walk({{"", doubles}})), (Names{"input", "0"}));
}

TEST(Select, LeavesOutLayersAndTheNodeLayersThatTheyTouch) {
  nn::Sequential model(nn::Linear(5, 4), nn::Linear(4, 3), nn::Linear(3, 2));
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(model, [&] { return model->forward(x); });
  const Network kept = select(network, [](const std::string& path) { return path != "1.weight"; });
  EXPECT_EQ(node_names(kept), (Names{"input", "2"}));
  EXPECT_EQ(chain(kept), (Lines{"input -> 0.weight -> ", " -> 2.weight -> 2"}));
  EXPECT_EQ(reason(kept, "1.weight"), "excluded");
  EXPECT_EQ(reason(kept, "0"), "excluded: 1.weight, which links it, is excluded");
  check(kept);
  const Network all = select(network, [](const std::string&) { return true; });
  EXPECT_EQ(chain(all), chain(network));
}

TEST(Select, APooledLayerKeepsItsResamplingForItsSources) {
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(1, 2, 3)), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(18, 2));
  const Tensor x = torch::randn({2, 1, 8, 8});
  const Network network = trace(model, [&] { return model->forward(x); });
  const Network kept = select(network, [](const std::string& path) { return path != "3.weight"; });
  EXPECT_EQ(chain(kept), Lines{"input -> 0.weight -> ?"});
  EXPECT_EQ(weight(kept, "0.weight").targets.at(0).resampling.at(0).seen, 3);
  check(kept);
}

}  // namespace
}  // namespace dynascope::test
