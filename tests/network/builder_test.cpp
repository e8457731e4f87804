// SPDX-License-Identifier: BSD-3-Clause
#include "network_test.hpp"

#include <dynascope/error.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/network_builder.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <sstream>
#include <stdexcept>
#include <string>

namespace dynascope::test {
namespace {

template <typename Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(NetworkBuilder, MlpIsAChainOfNodeLayers) {
  NetworkBuilder builder;
  const auto w1 = torch::randn({3, 2}), b1 = torch::randn({3}), w2 = torch::randn({4, 3});
  const auto x = builder.input("input", {2});
  const auto h = builder.linear("fc1", x, w1, b1);
  builder.output(builder.linear("fc2", h, w2));
  const Network network = builder.build();

  EXPECT_EQ(chain(network), (Lines{"input -> fc1.weight -> fc1", "fc1 -> fc2.weight -> fc2"}));
  EXPECT_EQ(node(network, "input").shape, Shape{2});
  EXPECT_EQ(node(network, "fc1").shape, Shape{3});
  EXPECT_TRUE(node(network, "input").input);
  EXPECT_FALSE(node(network, "fc1").output);
  EXPECT_TRUE(node(network, "fc2").output);
  EXPECT_TRUE(weight(network, "fc1.weight").weight.is_same(w1));
  EXPECT_TRUE(weight(network, "fc1.weight").bias.is_same(b1));
  EXPECT_FALSE(weight(network, "fc2.weight").bias.defined());
  EXPECT_FALSE(weight(network, "fc2.weight").sources[0].per_unit);
  EXPECT_EQ(network.parameters.size(), 3U);
  EXPECT_TRUE(network.skipped.empty());
}

TEST(NetworkBuilder, PoolingStandsOnTheTargetEndAndLinearReadsUnits) {
  NetworkBuilder builder;
  auto h = builder.input("input", {1, 28, 28});
  h = builder.convolution("conv1", h, torch::randn({6, 1, 5, 5}), torch::randn({6}), ConvolutionOptions().padding({2}));
  h = builder.max_pool(h, PoolingOptions({2}));
  builder.output(builder.linear("fc", h, torch::randn({10, 6 * 14 * 14})));
  const Network network = builder.build();

  EXPECT_EQ(node(network, "conv1").shape, (Shape{6, 14, 14}));
  const WeightLayer& conv = weight(network, "conv1.weight");
  ASSERT_EQ(conv.axes.size(), 2U);
  EXPECT_EQ(conv.axes[0].input, 28);
  EXPECT_EQ(conv.axes[0].output, 28);
  EXPECT_EQ(conv.axes[1].padding, 2);
  EXPECT_EQ(conv.operator_name, "conv2d");
  ASSERT_EQ(conv.targets.at(0).resampling.size(), 2U);
  const Resampling& pool = conv.targets[0].resampling[0];
  EXPECT_EQ(pool.produced, 28);
  EXPECT_EQ(pool.seen, 14);
  EXPECT_EQ(pool.coefficients.at(0), 0.5);
  EXPECT_EQ(pool.coefficients.at(1), 0.5);
  EXPECT_EQ(pool.coefficients.at(2), 0.0);
  const LinkEnd& read = weight(network, "fc.weight").sources.at(0);
  EXPECT_TRUE(read.per_unit);
  EXPECT_TRUE(read.order.empty());
}

TEST(NetworkBuilder, PoolsInARowCompose) {
  NetworkBuilder builder;
  auto h = builder.convolution("conv", builder.input("input", {1, 8}), torch::randn({2, 1, 1}));
  h = builder.average_pool(builder.average_pool(h, PoolingOptions({2})), PoolingOptions({3}).stride({1}));
  builder.output(h);
  const Network network = builder.build();
  const Resampling& pool = weight(network, "conv.weight").targets.at(0).resampling.at(0);
  EXPECT_EQ(pool.seen, 2);
  EXPECT_EQ(pool.produced, 8);
  for (int64_t x = 0; x < 8; ++x) {
    EXPECT_DOUBLE_EQ(pool.coefficients[static_cast<size_t>(x)], x < 6 ? 1.0 / 6 : 0.0) << x;
    EXPECT_DOUBLE_EQ(pool.coefficients[static_cast<size_t>(8 + x)], x < 2 ? 0.0 : 1.0 / 6) << x;
  }
}

TEST(NetworkBuilder, ReadersBehindDifferentResamplingsSeeDifferentNodeLayers) {
  NetworkBuilder builder;
  const auto h = builder.convolution("conv", builder.input("input", {1, 8, 8}), torch::randn({2, 1, 3, 3}));
  builder.output(builder.linear("a", builder.max_pool(h, PoolingOptions({2})), torch::randn({3, 2 * 3 * 3})));
  builder.output(builder.linear("b", builder.adaptive_pool(h, {1}), torch::randn({3, 2})));
  builder.output(builder.linear("c", builder.adaptive_pool(h, {1}), torch::randn({4, 2})));
  const Network network = builder.build();
  EXPECT_EQ(node_names(network), (Names{"input", "conv", "conv@1x1", "a", "b", "c"}));
  EXPECT_EQ(chain(network), (Lines{"input -> conv.weight -> conv+conv@1x1", "conv -> a.weight -> a",
                                   "conv@1x1 -> b.weight -> b", "conv@1x1 -> c.weight -> c"}));
}

TEST(NetworkBuilder, LinearOfAReshapedLinearMeetsSingleUnits) {
  NetworkBuilder builder;
  auto h = builder.linear("fc", builder.input("input", {5}), torch::randn({24, 5}));
  h = builder.reshape(h, {2, 3, 4});
  builder.output(
      builder.convolution("up", h, torch::randn({2, 6, 2, 2}), {}, ConvolutionOptions().transposed(true).stride({2})));
  const Network network = builder.build();
  EXPECT_EQ(node(network, "fc").shape, (Shape{2, 3, 4}));
  EXPECT_TRUE(weight(network, "fc.weight").targets.at(0).per_unit);
  EXPECT_TRUE(weight(network, "fc.weight").targets.at(0).order.empty());
  EXPECT_EQ(node(network, "up").shape, (Shape{6, 6, 8}));
  EXPECT_TRUE(weight(network, "up.weight").transposed);
}

TEST(NetworkBuilder, PositionwiseLinearCountsChannels) {
  NetworkBuilder builder;
  auto h = builder.convolution("conv", builder.input("input", {1, 4}), torch::randn({6, 1, 1}));
  h = builder.linear("mix", h, torch::randn({5, 6}));
  builder.output(builder.linear("fc", h, torch::randn({3, 20})));
  const Network network = builder.build();
  EXPECT_FALSE(weight(network, "mix.weight").sources.at(0).per_unit);
  EXPECT_FALSE(weight(network, "mix.weight").targets.at(0).per_unit);
  EXPECT_EQ(node(network, "mix").shape, (Shape{5, 4}));
}

struct Joins : torch::nn::Module {
  torch::nn::Linear fc1{4, 6}, fc2{6, 6}, fc3{4, 5}, fc4{11, 6}, fc5{6, 3};

  Joins() {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
    register_module("fc4", fc4);
    register_module("fc5", fc5);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const auto a = fc1(x);
    const auto s = a + fc2(torch::relu(a));
    const auto c = torch::cat({s, fc3(x)}, 1);
    return fc5(c.slice(1, 0, 6) * fc4(c));
  }
};

TEST(NetworkBuilder, SumsProductsConcatenationsAndSlicesAreThoseOfATrace) {
  torch::manual_seed(20261124);
  Joins net;
  const Network traced = trace(net, [&] { return net.forward(torch::randn({2, 4})); });

  NetworkBuilder builder;
  const auto linear = [&](const std::string& name, NetworkBuilder::Value source, torch::nn::Linear& layer) {
    return builder.linear(name, source, layer->weight, layer->bias);
  };
  const auto x = builder.input("input", {4});
  const auto a = linear("fc1", x, net.fc1);
  const auto s = builder.sum({a, linear("fc2", a, net.fc2)});
  const auto c = builder.concatenate({s, linear("fc3", x, net.fc3)});
  const auto g = builder.product({builder.slice(c, 0, 6), linear("fc4", c, net.fc4)});
  builder.output(linear("fc5", g, net.fc5));
  const Network built = builder.build();

  EXPECT_EQ(weight_names(built), weight_names(traced));
  EXPECT_EQ(built.identity_layers.size(), traced.identity_layers.size());
  EXPECT_FALSE(built.identity_layers.empty());
  EXPECT_TRUE(built.skipped.empty());
  const auto expected = node_strength(traced), strengths = node_strength(built);
  ASSERT_EQ(strengths.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::equal(strengths[i], expected[i])) << built.node_layers[i].name;
  }
}

TEST(NetworkBuilder, JoinsOfWrongShapesAreRefused) {
  NetworkBuilder builder;
  const auto x = builder.input("x", {3, 4});
  const auto y = builder.input("y", {3, 5});
  EXPECT_NE(error_of([&] { builder.sum({x, y}); }).find("one shape, got [3, 4] and [3, 5]"), std::string::npos);
  EXPECT_NE(error_of([&] { builder.concatenate({x, y}); }).find("same positions, got [4] and [5]"), std::string::npos);
  EXPECT_NE(error_of([&] { builder.slice(x, 2, 2); }).find("3 features or channels, got 2 from 2"), std::string::npos);
  EXPECT_THROW(builder.sum({x}), std::invalid_argument);
  EXPECT_THROW(builder.product({}), std::invalid_argument);
  EXPECT_THROW(builder.concatenate({}), std::invalid_argument);
  EXPECT_THROW(builder.sum({x, NetworkBuilder::Value()}), std::invalid_argument);
}

TEST(NetworkBuilder, RecordOnlyParametersAreKept) {
  NetworkBuilder builder;
  const auto scale = torch::ones({1});
  builder.output(builder.linear("fc", builder.input("x", {2}), torch::randn({3, 2})));
  builder.parameter("scale", scale);
  builder.parameter("scale.again", scale);
  const Network network = builder.build();
  ASSERT_EQ(network.parameters.size(), 2U);
  EXPECT_EQ(network.parameters[1].name, "scale");
  EXPECT_EQ(weight_names(network), Names{"fc.weight"});
}

TEST(NetworkBuilder, WrongSizesAreNamed) {
  NetworkBuilder builder;
  const auto x = builder.input("x", {1, 4, 4});
  const std::string linear = error_of([&] { builder.linear("fc", x, torch::randn({3, 15})); });
  EXPECT_NE(linear.find("fc: the weight has 15 inputs; the layer that it reads has 16 units and 1 channels"),
            std::string::npos)
      << linear;
  EXPECT_THROW(builder.linear("fc", x, torch::randn({3, 16}), torch::randn({2})), Error);
  EXPECT_THROW(builder.convolution("conv", x, torch::randn({3, 2, 3, 3})), Error);
  EXPECT_THROW(builder.convolution("conv", x, torch::randn({3, 1, 3})), Error);
  EXPECT_THROW(builder.convolution("conv", x, torch::randn({3, 1, 5, 5})), Error);
  EXPECT_THROW(builder.max_pool(x, PoolingOptions({2, 2, 2})), Error);
  EXPECT_THROW(builder.max_pool(x, PoolingOptions({9})), Error);
  EXPECT_THROW(builder.resample(x, {}), Error);
  EXPECT_THROW(builder.input("y", {}), std::invalid_argument);
  EXPECT_THROW(builder.input("y", {0}), std::invalid_argument);
  EXPECT_THROW(builder.linear("", x, torch::randn({3, 16})), std::invalid_argument);
  EXPECT_THROW(builder.output(NetworkBuilder::Value()), std::invalid_argument);
  EXPECT_THROW(builder.build(), Error);
}

TEST(Check, NamesTheFirstThingThatDoesNotFit) {
  NetworkBuilder builder;
  auto h = builder.convolution("conv", builder.input("input", {1, 8, 8}), torch::randn({2, 1, 3, 3}));
  builder.output(builder.linear("fc", builder.max_pool(h, PoolingOptions({2})), torch::randn({3, 2 * 3 * 3})));
  const Network good = builder.build();
  const auto broken = [&](const std::function<void(Network&)>& change) {
    Network network = good;
    change(network);
    return error_of([&] { check(network); });
  };
  EXPECT_EQ(broken([](Network&) {}), "");
  EXPECT_NE(broken([](Network& n) { n.weight_layers[0].sources[0].node_layer = 7; }).find("conv.weight"),
            std::string::npos);
  EXPECT_NE(broken([](Network& n) { n.weight_layers[1].sources[0].first = 1; }).find("reach indices 1 to 18"),
            std::string::npos);
  EXPECT_NE(broken([](Network& n) { n.weight_layers[0].axes[0].kernel = 2; }).find("kernel 2"), std::string::npos);
  EXPECT_NE(broken([](Network& n) { n.weight_layers[0].targets[0].resampling[1].seen = 4; }).find("4 coordinates"),
            std::string::npos);
  EXPECT_NE(broken([](Network& n) { n.node_layers[1].name = "input"; }).find("two node layers"), std::string::npos);
  EXPECT_NE(broken([](Network& n) { n.node_layers[0].shape[1] = 9; }).find("reads 8"), std::string::npos);
  EXPECT_NE(broken([](Network& n) { n.weight_layers[1].bias = torch::zeros({4}); }).find("(3,)"), std::string::npos);
}

TEST(Print, TellsLayersAndConnections) {
  NetworkBuilder builder;
  auto h = builder.convolution("conv", builder.input("input", {1, 8, 8}), torch::randn({2, 1, 3, 3}));
  builder.output(builder.linear("fc", builder.max_pool(h, PoolingOptions({2})), torch::randn({3, 2 * 3 * 3})));
  std::ostringstream stream;
  stream << builder.build();
  EXPECT_EQ(stream.str(),
            "node layer    input [1, 8, 8] input\n"
            "node layer    conv [2, 3, 3]\n"
            "node layer    fc [3] output\n"
            "weight layer  conv.weight [2, 1, 3, 3] conv2d: input -> conv (6 to 3) (6 to 3)\n"
            "weight layer  fc.weight [3, 18] linear: conv (units) -> fc\n"
            "placed        100 % of the weights\n");
}

}  // namespace
}  // namespace dynascope::test
