// SPDX-License-Identifier: BSD-3-Clause
// Models without a torch::nn::Module: a script module's named parameters and plain tensors go through NetworkBuilder,
// and a Monitor records them as it records any other.
#include "network_test.hpp"

#include <dynascope/memory_sink.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/monitor.hpp>
#include <dynascope/network_builder.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

/// What torch::jit::load() gives of a model that Python saved.
torch::jit::Module loaded_model() {
  torch::manual_seed(41);
  torch::jit::Module net("net"), conv("conv"), fc("fc");
  conv.register_parameter("weight", torch::randn({2, 1, 3, 3}), false);
  conv.register_parameter("bias", torch::randn({2}), false);
  fc.register_parameter("weight", torch::randn({3, 2 * 3 * 3}), false);
  fc.register_parameter("bias", torch::randn({3}), false);
  net.register_module("conv", conv);
  net.register_module("fc", fc);
  net.define(R"(
    def forward(self, x):
      x = torch.relu(torch.conv2d(x, self.conv.weight, self.conv.bias, [1, 1], [1, 1]))
      x = torch.max_pool2d(x, [2, 2])
      return torch.matmul(torch.flatten(x, 1), torch.t(self.fc.weight)) + self.fc.bias
  )");
  std::stringstream file;
  net.save(file);
  return torch::jit::load(file);
}

std::map<std::string, Tensor> parameters_of(const torch::jit::Module& module) {
  std::map<std::string, Tensor> parameters;
  for (const auto& parameter : module.named_parameters()) {
    parameters.emplace(parameter.name, parameter.value);
  }
  return parameters;
}

Network built(const torch::jit::Module& module) {
  const auto parameters = parameters_of(module);
  NetworkBuilder builder;
  auto x = builder.input("input", {1, 6, 6});
  x = builder.convolution("conv", x, parameters.at("conv.weight"), parameters.at("conv.bias"),
                          ConvolutionOptions().padding({1}));
  x = builder.max_pool(x, PoolingOptions({2}));
  builder.output(builder.linear("fc", x, parameters.at("fc.weight"), parameters.at("fc.bias")));
  return builder.build();
}

TEST(Scripted, NamedParametersMakeTheNetworkThatATraceWouldFind) {
  const torch::jit::Module module = loaded_model();
  const auto parameters = parameters_of(module);
  const Network network = built(module);
  EXPECT_EQ(chain(network), (Lines{"input -> conv.weight -> conv", "conv -> fc.weight -> fc"}));
  ASSERT_EQ(network.parameters.size(), 4U);
  for (const NamedParameter& parameter : network.parameters) {
    EXPECT_TRUE(parameter.value.is_same(parameters.at(parameter.name))) << parameter.name;
  }

  struct Same : nn::Module {
    nn::Conv2d conv = register_module("conv", nn::Conv2d(nn::Conv2dOptions(1, 2, 3).padding(1)));
    nn::Linear fc = register_module("fc", nn::Linear(18, 3));
    Tensor forward(const Tensor& x) { return fc(torch::max_pool2d(torch::relu(conv(x)), 2).flatten(1)); }
  } same;
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : same.named_parameters()) {
      parameter.value().copy_(parameters.at(parameter.key()));
    }
  }
  const Network traced = trace(same, [&] { return same.forward(torch::randn({2, 1, 6, 6})); });
  EXPECT_EQ(node_names(network), node_names(traced));
  const std::vector<Tensor> mine = node_strength(network), theirs = node_strength(traced);
  for (size_t i = 0; i < theirs.size(); ++i) {
    EXPECT_TRUE(mine.at(i).equal(theirs[i])) << node_names(traced)[i];
  }
}

TEST(Scripted, AMonitorRecordsItsTraining) {
  torch::jit::Module module = loaded_model();
  std::vector<Tensor> trained;
  for (const Tensor& parameter : module.parameters()) {
    trained.push_back(parameter.requires_grad_());
  }
  torch::optim::SGD optimizer(trained, 0.1);
  const auto sink = std::make_shared<MemorySink>();
  nn::Module none;  // nothing of the network is a registered parameter of it
  Monitor monitor(none, MonitorOptions("unused.h5").sink(sink));
  monitor.set_network(built(module));
  std::vector<Tensor> expected;
  const auto note = [&] { expected.push_back(layer_fluctuation(monitor.network()).clone()); };
  monitor.on_train_begin();
  note();
  for (int epoch = 0; epoch < 3; ++epoch) {
    optimizer.zero_grad();
    module.forward({torch::randn({4, 1, 6, 6})}).toTensor().square().sum().backward();
    optimizer.step();
    note();
    monitor.on_step_end();
    monitor.on_epoch_end();
  }
  monitor.on_train_end();
  EXPECT_EQ(monitor.status().first_error, "");
  ASSERT_EQ(sink->rows().size(), expected.size());
  for (size_t row = 0; row < expected.size(); ++row) {
    const std::vector<double> values = sink->values(row, "/nodes/fluctuation");
    EXPECT_TRUE(torch::tensor(values, at::kDouble).equal(expected[row])) << row;
  }
  EXPECT_FALSE(expected[0].equal(expected[3])) << "the weights must have changed";
}

TEST(Scripted, PlainTensorsNeedNoModule) {
  const Tensor first = torch::randn({4, 3}), second = torch::randn({4, 2});  // this one (in, out)
  NetworkBuilder builder;
  const auto h = builder.linear("one", builder.input("x", {3}), first);
  builder.output(builder.linear("two", h, second.t()));
  const Network network = builder.build();
  const std::vector<Tensor> strength = node_strength(network);
  EXPECT_TRUE(torch::allclose(strength.at(1), first.sum(1) + second.sum(1), 1e-5, 1e-5));
  EXPECT_TRUE(torch::allclose(strength.at(2), second.sum(0) + 1, 1e-5, 1e-5));
}

}  // namespace
}  // namespace dynascope::test
