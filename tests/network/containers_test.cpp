// SPDX-License-Identifier: BSD-3-Clause
// Modules in every container that LibTorch has, tables with bags, and weights in unusual memory: the same graph as the
// plain spelling.
#include "network_test.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

TEST(TraceContainers, AnyModuleAndFunctionalInASequential) {
  nn::Sequential model(nn::AnyModule(nn::Linear(5, 4)), nn::Functional(torch::relu), nn::AnyModule(nn::Linear(4, 3)));
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(chain(network), (Lines{"input -> 0.weight -> 0", "0 -> 2.weight -> 2"}));
  EXPECT_TRUE(network.skipped.empty());
}

TEST(TraceContainers, ModuleListAndModuleDict) {
  struct Model : nn::Module {
    nn::ModuleList layers{nn::Linear(5, 4), nn::Linear(4, 4)};
    nn::ModuleDict heads;
    Model() {
      register_module("layers", layers);
      heads->update({{"value", nn::Linear(4, 1).ptr()}, {"policy", nn::Linear(4, 3).ptr()}});
      register_module("heads", heads);
    }
    std::vector<Tensor> forward(Tensor x) {
      for (const auto& layer : *layers) {
        x = layer->as<nn::Linear>()->forward(x).relu();
      }
      return {heads["value"]->as<nn::Linear>()->forward(x), heads["policy"]->as<nn::Linear>()->forward(x)};
    }
  };
  const auto model = std::make_shared<Model>();
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(*model, [&] { return model->forward(x); });
  EXPECT_EQ(chain(network), (Lines{"input -> layers.0.weight -> layers.0", "layers.0 -> layers.1.weight -> layers.1",
                                   "layers.1 -> heads.value.weight -> heads.value",
                                   "layers.1 -> heads.policy.weight -> heads.policy"}));
  EXPECT_TRUE(network.skipped.empty());
}

TEST(TraceContainers, ParameterListAndDict) {
  struct Model : nn::Module {
    nn::ParameterList weights;
    nn::ParameterDict named;
    Model() {
      weights->append(torch::randn({4, 5}));
      weights->append(torch::randn({3, 4}));
      named->insert("last", torch::randn({2, 3}));
      register_module("weights", weights);
      register_module("named", named);
    }
    Tensor forward(Tensor x) {
      x = torch::linear(x, weights[0]).relu();
      x = torch::linear(x, weights[1]).relu();
      return torch::linear(x, named["last"]);
    }
  };
  const auto model = std::make_shared<Model>();
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(*model, [&] { return model->forward(x); });
  ASSERT_EQ(network.weight_layers.size(), 3U);
  EXPECT_EQ(weight(network, "weights.0").weight.sizes(), (Shape{4, 5}));
  EXPECT_EQ(weight(network, "named.last").weight.sizes(), (Shape{2, 3}));
  EXPECT_TRUE(network.skipped.empty());
  const std::vector<Tensor> strength = node_strength(network);
  const Tensor second = model->weights[0].sum(1) + model->weights[1].sum(0);
  EXPECT_TRUE(at::allclose(strength.at(1), second, 1e-5, 1e-5));
}

TEST(TraceContainers, EinsumIsAProductWhereItIsAPlainContraction) {
  for (const std::string equation : {"bi,oi->bo", "bi,oi->ob", "bti,oi->bto", "bi,io->bo"}) {
    SCOPED_TRACE(equation);
    const bool turned = equation.find("io") != std::string::npos;
    const auto model = std::make_shared<nn::Module>();
    const Tensor w = model->register_parameter("w", turned ? torch::randn({5, 4}) : torch::randn({4, 5}));
    const Tensor x = equation.find('t') != std::string::npos ? torch::randn({2, 3, 5}) : torch::randn({2, 5});
    const Network network = trace(*model, [&] { return torch::einsum(equation, {x, w}); });
    EXPECT_EQ(chain(network), (Lines{"input -> w -> w"})) << network;
    ASSERT_EQ(network.node_layers.size(), 2U) << network;
    const std::vector<Tensor> strength = node_strength(network);
    EXPECT_TRUE(at::allclose(strength[1], w.sum(turned ? 0 : 1) + 1, 1e-5, 1e-5)) << strength[1];
  }
}

TEST(TraceContainers, AnEmbeddingBagIsATableWhoseEntriesAreTheInputs) {
  nn::EmbeddingBag bag(nn::EmbeddingBagOptions(7, 4).mode(torch::kSum));
  nn::Linear head(4, 3);
  struct Model : nn::Module {
  } model;
  model.register_module("bag", bag);
  model.register_module("head", head);
  const Tensor words = torch::tensor({0, 2, 2, 5, 6}, torch::kLong);
  const Tensor offsets = torch::tensor({0, 3}, torch::kLong);
  const Network network = trace(model, [&] { return head->forward(bag->forward(words, offsets)); });
  EXPECT_EQ(chain(network), (Lines{"input -> bag.weight -> bag", "bag -> head.weight -> head"})) << network;
  EXPECT_EQ(node(network, "input").shape, Shape{7}) << network;
}

TEST(TraceContainers, ParametersInOneFlatBufferAreMeasuredThere) {
  nn::Linear a(5, 4);
  nn::Linear b(4, 3);
  struct Model : nn::Module {
  } model;
  model.register_module("a", a);
  model.register_module("b", b);
  std::vector<Tensor> pieces;
  for (const Tensor& parameter : model.parameters()) {
    pieces.push_back(parameter.detach().flatten());
  }
  const Tensor flat = torch::cat(pieces);
  int64_t at = 0;
  for (Tensor& parameter : model.parameters()) {
    parameter.set_data(flat.narrow(0, at, parameter.numel()).view(parameter.sizes()));
    at += parameter.numel();
  }
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(model, [&] { return b->forward(a->forward(x)); });
  EXPECT_EQ(chain(network), (Lines{"input -> a.weight -> a", "a -> b.weight -> b"}));
  flat.fill_(0.5);
  EXPECT_TRUE(at::allclose(node_strength(network).at(1), torch::full({4}, 5 * 0.5 + 0.5 + 3 * 0.5)));
}

TEST(TraceContainers, ChannelsLastWeightsHaveTheSameGraphAndStrengths) {
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(3, 4, 3).padding(1)), nn::ReLU(), nn::Conv2d(4, 2, 3));
  const Tensor x = torch::randn({1, 3, 6, 6});
  const std::vector<Tensor> before = node_strength(trace(model, [&] { return model->forward(x); }));
  for (Tensor& parameter : model->parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  const Tensor last = x.contiguous(at::MemoryFormat::ChannelsLast);
  const std::vector<Tensor> after = node_strength(trace(model, [&] { return model->forward(last); }));
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(at::equal(before[i], after[i])) << i;
  }
}

}  // namespace
}  // namespace dynascope::test
