// SPDX-License-Identifier: BSD-3-Clause
// Weights that are computed from parameters are what links units, now and after every step.
#include "network_test.hpp"

#include <dynascope/error.hpp>
#include <dynascope/memory_sink.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/monitor.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dynascope::test {
namespace {

namespace nn = torch::nn;
using torch::Tensor;

/// A Linear whose weight `effective` makes of "v", "g", "a" and "b", between two plain ones.
struct Net : nn::Module {
  explicit Net(std::function<Tensor(Net&)> function) : effective(std::move(function)) {
    torch::manual_seed(31);
    first = register_module("first", nn::Linear(5, 6));
    last = register_module("last", nn::Linear(4, 2));
    inner = register_module("mid", std::make_shared<nn::Module>());
    v = inner->register_parameter("v", torch::randn({4, 6}));
    g = inner->register_parameter("g", torch::rand({4, 1}));
    a = inner->register_parameter("a", torch::randn({4, 1}));
    b = inner->register_parameter("b", torch::randn({1, 6}));
    u = inner->register_buffer("u", torch::ones({4}) / 2);
  }
  Tensor forward(const Tensor& x) {
    return last->forward(torch::relu(torch::linear(torch::relu(first->forward(x)), effective(*this))));
  }
  nn::Linear first{nullptr}, last{nullptr};
  std::shared_ptr<nn::Module> inner;
  Tensor v, g, a, b, u;
  std::function<Tensor(Net&)> effective;
};

Tensor weight_norm(Net& net) { return net.v * (net.g / net.v.norm(2, {1}, true)); }
Tensor low_rank_sum(Net& net) { return net.v + net.a.mm(net.b).mul(0.5); }
Tensor standardised(Net& net) {
  return (net.v - net.v.mean(1, true)) / (net.v.var(1, false, true) + 1e-5).sqrt() * torch::sigmoid(net.g);
}
Tensor joined(Net& net) { return torch::cat({net.v.narrow(0, 0, 2), net.v.narrow(0, 2, 2) * net.g.narrow(0, 2, 2)}); }
Tensor turned(Net& net) { return (net.v.t() * net.g.view({1, 4})).t(); }
Tensor permuted(Net& net) { return (net.v.permute({1, 0}) * net.g.view({1, 4})).permute({1, 0}).transpose(0, 0); }
/// One step of power iteration, as spectral norm divides by the largest singular value.
Tensor spectral_norm(Net& net) {
  const Tensor to =
      torch::nn::functional::normalize(net.v.t().mv(net.u), torch::nn::functional::NormalizeFuncOptions().dim(0));
  return net.v / net.v.mv(to).norm();
}
Tensor low_rank_linear(Net& net) { return net.v + torch::matmul(net.a, net.b) * (2.0 / 4) + net.g * 0; }
Tensor masked(Net& net) { return net.v * (torch::arange(6) % 2); }

void expect_strengths(Net& net, const Network& network) {
  const torch::NoGradGuard no_grad;
  const auto as_double = [](const Tensor& x) { return x.detach().to(torch::kDouble); };
  const Tensor w = as_double(net.effective(net));
  const std::vector<Tensor> expected = {1 + as_double(net.first->weight).sum(0),
                                        as_double(net.first->weight).sum(1) + as_double(net.first->bias) + w.sum(0),
                                        w.sum(1) + as_double(net.last->weight).sum(0),
                                        as_double(net.last->weight).sum(1) + as_double(net.last->bias) + 1};
  const std::vector<Tensor> strengths = node_strength(network);
  ASSERT_EQ(strengths.size(), expected.size()) << network;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::allclose(as_double(strengths[i]), expected[i], 1e-5, 1e-5)) << i << "\n" << strengths[i];
  }
}

TEST(Computed, TheEffectiveWeightLinksUnitsAndIsRenewed) {
  for (const auto& effective :
       {weight_norm, low_rank_sum, standardised, joined, turned, permuted, spectral_norm, low_rank_linear, masked}) {
    Net net(effective);
    const Network network = trace(net, [&] { return net.forward(torch::randn({3, 5})); });
    for (const std::string used : {"mid.v", "first.weight"}) {
      EXPECT_EQ(reason(network, used), "") << network;
    }
    EXPECT_EQ(weight_names(network), (Names{"first.weight", "mid.weight", "last.weight"}));
    EXPECT_EQ(node_names(network), (Names{"input", "first", "mid", "last"}));
    ASSERT_EQ(network.computed.size(), 1U);
    expect_strengths(net, network);
    {
      const torch::NoGradGuard no_grad;
      net.v.mul_(-1.5).add_(0.25);
      net.g.add_(1);
      net.b.uniform_();
      net.u.uniform_();
    }
    expect_strengths(net, network);
  }
}

TEST(Computed, AConvolutionAndATable) {
  struct Model : nn::Module {
    Model() {
      torch::manual_seed(32);
      v = register_parameter("v", torch::randn({4, 2, 3, 3}));
      table = register_parameter("table", torch::randn({7, 4}));
    }
    Tensor v, table;
  } model;
  const Tensor x = torch::randn({2, 2, 5, 5}), words = torch::randint(7, {2, 3});
  const Network network = trace(model, [&] {
    const Tensor w = model.v / model.v.norm(2, {1, 2, 3}, true);
    return std::vector<Tensor>{torch::conv2d(x, w), torch::embedding(model.table * 2, words)};
  });
  EXPECT_EQ(weight_names(network), (Names{"v", "table"}));
  const auto strengths = node_strength(network, MetricOptions().granularity(Granularity::kChannel));
  ASSERT_EQ(strengths.size(), 4U) << network;
  const Tensor w = (model.v / model.v.norm(2, {1, 2, 3}, true)).detach();
  EXPECT_TRUE(torch::allclose(strengths[0], 1 + w.sum({0, 2, 3}), 1e-5, 1e-5));
  EXPECT_TRUE(torch::allclose(strengths[1], w.sum({1, 2, 3}) + 1, 1e-5, 1e-5));
  EXPECT_TRUE(torch::allclose(strengths[3], model.table.detach().mul(2).sum(0) + 1, 1e-5, 1e-5)) << network;
}

TEST(Computed, ABiasToo) {
  struct Model : nn::Module {
    Tensor w = register_parameter("w", torch::randn({4, 3})), b = register_parameter("b", torch::randn({4}));
    Tensor factor = register_parameter("factor", torch::ones({1}));
  };
  const Tensor x = torch::randn({2, 3}), tokens = torch::randn({2, 5, 3});
  using Forward = std::function<Tensor(Model&)>;
  const std::vector<Forward> spellings = {
      [&](Model& m) { return torch::linear(x, m.w, m.b * m.factor); },
      [&](Model& m) { return torch::linear(tokens, m.w, m.b * m.factor); },
      [&](Model& m) { return x.mm(m.w.t()) + m.factor * m.b; },
      [&](Model& m) { return torch::conv1d(tokens.transpose(1, 2), m.w.unsqueeze(-1), m.b * m.factor); },
      [&](Model& m) { return torch::linear(x, m.w * m.factor / m.factor, m.b * m.factor); }};
  for (const Forward& forward : spellings) {
    Model model;
    const Network network = trace(model, [&] { return forward(model); });
    EXPECT_TRUE(network.skipped.empty()) << network;
    const torch::NoGradGuard no_grad;
    model.factor.fill_(-3);
    const auto strength = node_strength(network, MetricOptions().granularity(Granularity::kChannel));
    ASSERT_EQ(strength.size(), 2U) << network;
    EXPECT_TRUE(torch::allclose(strength[1], model.w.sum(1) - 3 * model.b + 1, 1e-4, 1e-4)) << network;
  }
}

TEST(Computed, ABiasOfEveryRowIsThatOfItsTime) {
  struct Model : nn::Module {
    Tensor w = register_parameter("w", torch::randn({4, 3})), b = register_parameter("b", torch::randn({4}));
  } model;
  auto sink = std::make_shared<MemorySink>();
  Monitor monitor(model, MonitorOptions("unused.h5").sink(sink));
  monitor.trace([&] { return torch::linear(torch::randn({2, 3}), model.w, model.b * 2); });
  std::vector<double> means;
  const auto note = [&] {
    means.push_back((model.w.sum(1) + model.b * 2 + 1).mean().item<double>());
    const torch::NoGradGuard no_grad;
    model.b.add_(0.5);
  };
  monitor.on_train_begin();
  note();
  for (int epoch = 0; epoch < 3; ++epoch) {
    if (epoch == 1) {
      model.to(torch::kDouble);
    }
    monitor.on_step_end();
    note();
    monitor.on_epoch_end();
  }
  monitor.on_train_end();
  EXPECT_EQ(monitor.status().first_error, "");
  ASSERT_EQ(sink->rows().size(), means.size());
  EXPECT_NEAR(sink->values(0, "/nodes/strength_mean")[1], means[0], 1e-5);
  for (size_t row = 1; row < means.size(); ++row) {
    EXPECT_GT(sink->values(row, "/nodes/strength_mean")[1], sink->values(row - 1, "/nodes/strength_mean")[1] + 0.5);
  }
}

TEST(Computed, EveryRowOfAMonitorHasTheWeightOfItsTime) {
  Net net(weight_norm);
  auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, MonitorOptions("unused.h5").sink(sink));
  monitor.trace([&] { return net.forward(torch::randn({3, 5})); });
  torch::optim::SGD optimizer(net.parameters(), 0.1);
  std::vector<double> norms;
  const auto note = [&] {
    const torch::NoGradGuard no_grad;
    norms.push_back(weight_norm(net).to(torch::kDouble).norm().item<double>());
  };
  monitor.on_train_begin();
  note();
  for (int epoch = 0; epoch < 3; ++epoch) {
    if (epoch == 2) {
      net.to(torch::kDouble);  // other memory, another type: planned again
    }
    optimizer.zero_grad();
    net.forward(torch::randn({8, 5}, net.v.options())).pow(2).sum().backward();
    optimizer.step();
    note();
    monitor.on_step_end();
    monitor.on_epoch_end();
  }
  monitor.on_train_end();
  EXPECT_EQ(monitor.status().first_error, "");
  ASSERT_EQ(sink->rows().size(), norms.size());
  for (size_t row = 0; row < norms.size(); ++row) {
    EXPECT_NEAR(sink->values(row, "/links/norm")[1], norms[row], 1e-5 * norms[row]) << row;
  }
  EXPECT_GT(std::abs(norms[1] - norms[0]), 1e-4) << "the weight must have changed";
}

TEST(Computed, WhatCannotBeComputedAgainSaysWhy) {
  const std::vector<std::pair<std::function<Tensor(Net&)>, std::string>> cases = {
      {[](Net& net) {
         return net.v * torch::rand({4, 6});
       },
       "aten::rand, which is random"},
      {[](Net& net) { return (net.v * 1).mul_(net.g); }, "in place"},
      {[](Net& net) {
         Tensor w = net.v;
         for (int i = 0; i < 40; ++i) {
           w = w * net.g;
         }
         return w;
       },
       "40 operators"},
  };
  for (const auto& [effective, expected] : cases) {
    Net net(effective);
    const Network network = trace(net, [&] { return net.forward(torch::randn({3, 5})); });
    EXPECT_EQ(node_names(network), (Names{"input", "last"})) << network;
    EXPECT_NE(reason(network, "first").find(expected), std::string::npos) << network;
    EXPECT_NE(reason(network, "mid.v"), "");
    EXPECT_TRUE(network.computed.empty());
  }
}

TEST(Computed, WhatIsLeftOutIsNotComputed) {
  Net net(weight_norm);
  const Network network = trace(net, [&] { return net.forward(torch::randn({3, 5})); });
  EXPECT_TRUE(select(network, [](const std::string& path) { return path != "mid.weight"; }).computed.empty());
  EXPECT_EQ(select(network, [](const std::string& path) { return path != "last.weight"; }).computed.size(), 1U);
}

TEST(Computed, OtherParametersCannotTakeItsPlace) {
  Net net(weight_norm);
  const Network network = trace(net, [&] { return net.forward(torch::randn({3, 5})); });
  EXPECT_THROW(
      {
        try {
          with_parameters(network, network.parameters);
        } catch (const Error& error) {
          EXPECT_NE(std::string(error.what()).find("computed from parameters"), std::string::npos) << error.what();
          throw;
        }
      },
      Error);
}

}  // namespace
}  // namespace dynascope::test
