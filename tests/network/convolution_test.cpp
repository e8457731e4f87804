// SPDX-License-Identifier: BSD-3-Clause
// Convolutions, pooling and views in a traced network: geometry, coefficients, orders. Coefficients and unit orders are
// compared with what torch itself computes.
#include "network_test.hpp"

#include <dynascope/network_builder.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <tuple>
#include <vector>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

std::vector<int64_t> geometry(const ConvolutionAxis& axis) {
  return {axis.input, axis.output, axis.kernel, axis.stride, axis.padding, axis.dilation};
}

TEST(TraceConvolution, StridePaddingDilationGroups) {
  nn::Sequential model(
      nn::Conv2d(nn::Conv2dOptions(4, 6, {3, 2}).stride({2, 1}).padding({1, 0}).dilation({1, 2}).groups(2)));
  const Tensor x = torch::randn({2, 4, 9, 8});
  const Network network = trace(model, [&] { return model->forward(x); });
  const WeightLayer& layer = weight(network, "0.weight");
  EXPECT_EQ(layer.operator_name, "conv2d");
  EXPECT_EQ(layer.groups, 2);
  EXPECT_FALSE(layer.transposed);
  ASSERT_EQ(layer.axes.size(), 2U);
  EXPECT_EQ(geometry(layer.axes[0]), (Shape{9, 5, 3, 2, 1, 1}));
  EXPECT_EQ(geometry(layer.axes[1]), (Shape{8, 6, 2, 1, 0, 2}));
  EXPECT_EQ(node(network, "input").shape, (Shape{4, 9, 8}));
  EXPECT_EQ(node(network, "0").shape, (Shape{6, 5, 6}));
  EXPECT_TRUE(node(network, "0").output);
}

TEST(TraceConvolution, OneAndThreeDimensionsAndTransposed) {
  nn::Sequential model(nn::Conv1d(nn::Conv1dOptions(2, 3, 3)));
  const Tensor x = torch::randn({2, 2, 9});
  Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(node(network, "0").shape, (Shape{3, 7}));
  EXPECT_EQ(weight(network, "0.weight").operator_name, "conv1d");

  nn::Sequential cubes(nn::Conv3d(nn::Conv3dOptions(1, 2, 2)));
  const Tensor y = torch::randn({1, 1, 4, 5, 6});
  network = trace(cubes, [&] { return cubes->forward(y); });
  EXPECT_EQ(node(network, "0").shape, (Shape{2, 3, 4, 5}));

  nn::Sequential up(nn::ConvTranspose2d(
      nn::ConvTranspose2dOptions(4, 3, 3).stride(2).padding(1).output_padding(1).groups(1).dilation(1)));
  const Tensor z = torch::randn({2, 4, 5, 5});
  network = trace(up, [&] { return up->forward(z); });
  EXPECT_EQ(node(network, "0").shape, (Shape{3, 10, 10}));
  EXPECT_TRUE(weight(network, "0.weight").transposed);
  EXPECT_EQ(geometry(weight(network, "0.weight").axes[0]), (Shape{5, 10, 3, 2, 1, 1}));
}

TEST(TraceConvolution, StringPaddingUnbatchedInputAndChannelsLast) {
  const Tensor w = torch::randn({3, 2, 4, 3});
  struct Net : nn::Module {
    Tensor w;
    explicit Net(const Tensor& value) { w = register_parameter("w", value); }
  };
  Net net(w.contiguous(at::MemoryFormat::ChannelsLast));
  const Tensor x = torch::randn({2, 9, 8});
  Network network = trace(net, [&] { return torch::conv2d(x.unsqueeze(0), net.w, {}, 1, "same"); });
  EXPECT_EQ(geometry(weight(network, "w").axes[0]), (Shape{9, 9, 4, 1, 1, 1}));
  EXPECT_EQ(geometry(weight(network, "w").axes[1]), (Shape{8, 8, 3, 1, 1, 1}));
  EXPECT_TRUE(weight(network, "w").weight.is_same(net.w));
  network = trace(net, [&] { return torch::conv2d(x, net.w, {}, 1, "valid"); });
  EXPECT_EQ(node(network, "w").shape, (Shape{3, 6, 6}));
  EXPECT_EQ(geometry(weight(network, "w").axes[0]), (Shape{9, 6, 4, 1, 0, 1}));
}

TEST(TraceConvolution, ZeroPaddingBeforeItIsItsPadding) {
  nn::Sequential model(nn::ZeroPad2d(nn::ZeroPad2dOptions({1, 2, 3, 0})),
                       nn::Conv2d(nn::Conv2dOptions(1, 2, 3).padding(1)));
  const Tensor x = torch::randn({2, 1, 6, 6});
  Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(node(network, "input").shape, (Shape{1, 6, 6}));
  EXPECT_EQ(geometry(weight(network, "1.weight").axes[0]), (Shape{6, 9, 3, 1, 4, 1}));
  EXPECT_EQ(geometry(weight(network, "1.weight").axes[1]), (Shape{6, 9, 3, 1, 2, 1}));

  nn::Sequential mirrored(nn::ReflectionPad2d(1), nn::Conv2d(nn::Conv2dOptions(1, 2, 3)));
  network = trace(mirrored, [&] { return mirrored->forward(x); });
  EXPECT_EQ(node_names(network), (Names{"input", "1"})) << network;
  const LinkEnd& read = weight(network, "1.weight").sources.at(0);
  EXPECT_EQ(read.cells.at(0), (Shape{1, 0, 1, 2, 3, 4, 5, 4})) << "padded cells are those that they copy";
}

/// What `pool` makes of one axis of `size` cells is linear: its matrix is what it makes of the unit vectors.
TEST(TracePooling, AverageCoefficientsAreTorchsOwn) {
  const std::vector<std::pair<std::string, std::function<Tensor(const Tensor&)>>> cases = {
      {"plain", [](const Tensor& h) { return torch::avg_pool1d(h, 2); }},
      {"padded", [](const Tensor& h) { return torch::avg_pool1d(h, 3, 2, 1); }},
      {"padding not counted", [](const Tensor& h) { return torch::avg_pool1d(h, 3, 2, 1, false, false); }},
      {"ceil", [](const Tensor& h) { return torch::avg_pool1d(h, 4, 3, 1, true); }},
      {"ceil, padding not counted", [](const Tensor& h) { return torch::avg_pool1d(h, 4, 3, 2, true, false); }},
      {"ceil drops a window", [](const Tensor& h) { return torch::avg_pool1d(h, 2, 6, 1, true); }},
      {"adaptive 4", [](const Tensor& h) { return torch::adaptive_avg_pool1d(h, 4); }},
      {"adaptive 13", [](const Tensor& h) { return torch::adaptive_avg_pool1d(h, 13); }},
      {"two in a row", [](const Tensor& h) { return torch::adaptive_avg_pool1d(torch::avg_pool1d(h, 3, 1, 1), 3); }},
      {"mean", [](const Tensor& h) { return h.mean({2}, true); }},
      {"divisor",
       [](const Tensor& h) {
         return torch::avg_pool2d(h.unsqueeze(-1), {2, 1}, {2, 1}, 0, false, true, 3).squeeze(-1);
       }},
  };
  const int64_t size = 11;
  nn::Conv1d conv(nn::Conv1dOptions(1, 2, 1));
  for (const auto& [name, pool] : cases) {
    SCOPED_TRACE(name);
    const Tensor x = torch::randn({2, 1, size});
    const Network network = trace(conv, [&, &apply = pool] { return apply(conv->forward(x)); });
    const Tensor expected = pool(torch::eye(size, at::kDouble).unsqueeze(1)).squeeze(1).t().contiguous();
    ASSERT_EQ(node_names(network).size(), 2U) << network;
    EXPECT_EQ(network.node_layers[1].shape, (Shape{2, expected.size(0)}));
    const Resampling& found = network.weight_layers.at(0).targets.at(0).resampling.at(0);
    EXPECT_EQ(found.produced, size);
    EXPECT_EQ(found.seen, expected.size(0));
    const Tensor matrix = torch::tensor(found.coefficients, at::kDouble).view({found.seen, found.produced});
    EXPECT_TRUE(matrix.allclose(expected, 1e-12, 1e-12)) << matrix << expected;
  }
}

TEST(TracePooling, MaxIsUniformOverItsValidCells) {
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(1, 2, 1)),
                       nn::MaxPool2d(nn::MaxPool2dOptions({3, 2}).stride({2, 2}).padding({1, 0}).dilation({2, 1})));
  const Tensor x = torch::randn({1, 1, 7, 6});
  const Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(node(network, "0").shape, (Shape{2, 3, 3}));
  const auto& pool = weight(network, "0.weight").targets.at(0).resampling;
  const double third = 1.0 / 3;
  // Windows start at -1, 1 and 3 and look at every second cell of 7.
  EXPECT_EQ(pool[0].coefficients, (std::vector<double>{0, 0.5,   0, 0.5,   0, 0,     0,  //
                                                       0, third, 0, third, 0, third, 0,  //
                                                       0, 0,     0, 0.5,   0, 0.5,   0}));
  EXPECT_EQ(pool[1].coefficients,
            (std::vector<double>{0.5, 0.5, 0, 0, 0, 0, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0, 0.5, 0.5}));
}

TEST(TracePooling, OnTheInputMakesTheInputWhatItsReaderSees) {
  nn::Sequential model(nn::AvgPool2d(2), nn::Conv2d(nn::Conv2dOptions(1, 2, 3)));
  const Tensor x = torch::randn({2, 1, 8, 8});
  const Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(node(network, "input").shape, (Shape{1, 4, 4}));
  EXPECT_EQ(geometry(weight(network, "1.weight").axes[0]), (Shape{4, 2, 3, 1, 0, 1}));
  EXPECT_TRUE(network.skipped.empty()) << network;
}

TEST(TracePooling, ReadersBehindDifferentPoolsSeeDifferentNodeLayers) {
  struct Net : nn::Module {
    nn::Conv2d conv{nn::Conv2dOptions(1, 2, 3)};
    nn::Linear a{18, 3}, b{2, 3};
    Net() {
      register_module("conv", conv);
      register_module("a", a);
      register_module("b", b);
    }
  } net;
  const Tensor x = torch::randn({2, 1, 8, 8});
  const Network network = trace(net, [&] {
    const Tensor h = net.conv->forward(x).relu();
    const Tensor first = net.a->forward(torch::max_pool2d(h, 2).flatten(1));
    return std::make_tuple(first, net.b->forward(h.mean({2, 3})));
  });
  EXPECT_EQ(node_names(network), (Names{"input", "conv", "conv@1x1", "a", "b"}));
  EXPECT_EQ(chain(network),
            (Lines{"input -> conv.weight -> conv+conv@1x1", "conv -> a.weight -> a", "conv@1x1 -> b.weight -> b"}));
}

TEST(TracePooling, AnUnwrittenLayerKeepsItsResamplingForItsSources) {
  nn::Conv2d first(nn::Conv2dOptions(1, 2, 3)), second(nn::Conv2dOptions(2, 2, 3));
  const Tensor x = torch::randn({2, 1, 9, 9});
  const Network network = trace(NamedModules{{"first", first}, {"second", second}},
                                [&] { return torch::max_pool2d(second->forward(first->forward(x)), 2).cumsum(1); });
  EXPECT_EQ(chain(network), (Lines{"input -> first.weight -> first", "first -> second.weight -> ?"}));
  EXPECT_EQ(weight(network, "second.weight").targets.at(0).resampling.at(0).seen, 2);
}

TEST(TraceViews, ConvolutionThenFlattenKeepsChannelsAndPositions) {
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(1, 2, 3)), nn::Flatten(), nn::Linear(2 * 4 * 5, 3));
  const Tensor x = torch::randn({2, 1, 6, 7});
  const Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(node(network, "0").shape, (Shape{2, 4, 5}));
  EXPECT_TRUE(weight(network, "2.weight").sources.at(0).per_unit);
  EXPECT_TRUE(weight(network, "2.weight").sources.at(0).order.empty());
  EXPECT_TRUE(weight(network, "0.weight").targets.at(0).resampling.empty());
}

TEST(TraceViews, InputsAreWhatIsGivenNotWhatIsFlattened) {
  nn::Linear fc(784, 3);
  const Tensor images = torch::randn({2, 1, 28, 28}), rows = torch::randn({2, 784});
  EXPECT_EQ(node(trace(fc, [&] { return fc->forward(images.flatten(1)); }), "input").shape, (Shape{1, 28, 28}));
  EXPECT_EQ(node(trace(fc, [&] { return fc->forward(images.view({-1, 784})); }), "input").shape, (Shape{1, 28, 28}));
  EXPECT_EQ(node(trace(fc, [&] { return fc->forward(rows); }), "input").shape, Shape{784});
  const Tensor one = torch::randn({1, 1, 28, 28});
  EXPECT_EQ(node(trace(fc, [&] { return fc->forward(one.reshape({1, -1})); }), "input").shape, (Shape{1, 28, 28}));
}

/// The weight's column that meets unit n, found by feeding the unit's number through the same views.
TEST(TraceViews, PermutedFlattenGivesTheOrderThatTorchUses) {
  const std::vector<std::pair<std::string, std::function<Tensor(const Tensor&)>>> cases = {
      {"H, W, C",
       [](const Tensor& h) {
         return h.permute({0, 2, 3, 1}).flatten(1);
       }},
      {"W, C, H",
       [](const Tensor& h) {
         return h.permute({0, 3, 1, 2}).reshape({h.size(0), -1});
       }},
      {"through a split", [](const Tensor& h) { return h.flatten(2).transpose(1, 2).flatten(1); }},
      {"shuffled channels",
       [](const Tensor& h) {
         return h.view({h.size(0), 2, 3, 4, 5}).transpose(1, 2).flatten(1);
       }},
  };
  nn::Conv2d conv(nn::Conv2dOptions(1, 6, 3));
  nn::Linear fc(6 * 4 * 5, 3);
  const Tensor x = torch::randn({2, 1, 6, 7});
  const Tensor numbers = torch::arange(6 * 4 * 5).view({1, 6, 4, 5});
  for (const auto& [name, view] : cases) {
    SCOPED_TRACE(name);
    const Network network = trace(NamedModules{{"conv", conv}, {"fc", fc}},
                                  [&, &apply = view] { return fc->forward(apply(conv->forward(x))); });
    ASSERT_EQ(node(network, "conv").shape, (Shape{6, 4, 5})) << network;
    const LinkEnd& end = weight(network, "fc.weight").sources.at(0);
    EXPECT_TRUE(end.per_unit);
    const Tensor unit_of_column = view(numbers).flatten();
    ASSERT_EQ(static_cast<int64_t>(end.order.size()), unit_of_column.numel());
    for (int64_t column = 0; column < unit_of_column.numel(); ++column) {
      EXPECT_EQ(end.order[static_cast<size_t>(unit_of_column[column].item<int64_t>())], column);
    }
  }
}

TEST(TraceViews, LinearIntoAMapMeetsSingleUnits) {
  nn::Sequential model(nn::Linear(5, 24), nn::Unflatten(nn::UnflattenOptions(1, {2, 3, 4})), nn::ReLU(),
                       nn::ConvTranspose2d(nn::ConvTranspose2dOptions(2, 3, 2).stride(2)));
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(node(network, "0").shape, (Shape{2, 3, 4}));
  EXPECT_TRUE(weight(network, "0.weight").targets.at(0).per_unit);
  EXPECT_TRUE(weight(network, "0.weight").targets.at(0).order.empty());
  EXPECT_EQ(node(network, "3").shape, (Shape{3, 6, 8}));
}

TEST(TraceViews, TokensBecomeUnitsWhereAReaderTellsThemApart) {
  nn::Linear a(5, 6), b(18, 2);
  nn::Conv1d conv(nn::Conv1dOptions(6, 4, 2));
  const Tensor x = torch::randn({2, 3, 5});
  Network network = trace(NamedModules{{"a", a}, {"b", b}}, [&] { return b->forward(a->forward(x).flatten(1)); });
  EXPECT_EQ(node(network, "input").shape, Shape{5});
  EXPECT_EQ(node(network, "a").shape, (Shape{6, 3}));
  EXPECT_FALSE(weight(network, "a.weight").targets.at(0).per_unit);
  const LinkEnd& end = weight(network, "b.weight").sources.at(0);
  ASSERT_EQ(end.order.size(), 18U);
  EXPECT_EQ(end.order[1], 6) << "feature 0 of token 1 is column 6";
  EXPECT_EQ(end.order[3], 1) << "feature 1 of token 0 is column 1";

  network = trace(NamedModules{{"a", a}, {"conv", conv}}, [&] { return conv->forward(a->forward(x).transpose(1, 2)); });
  EXPECT_EQ(node(network, "a").shape, (Shape{6, 3}));
  EXPECT_EQ(node(network, "conv").shape, (Shape{4, 2}));
  EXPECT_EQ(geometry(weight(network, "conv.weight").axes[0]), (Shape{3, 2, 2, 1, 0, 1}));
}

TEST(TraceViews, SelectingATokenIsTransparentSelectingAUnitIsNot) {
  nn::Linear a(5, 6), b(6, 2), c(3, 2);
  const Tensor x = torch::randn({2, 3, 5}), y = torch::randn({2, 5});
  Network network = trace(NamedModules{{"a", a}, {"b", b}}, [&] { return b->forward(a->forward(x).select(1, 0)); });
  EXPECT_EQ(chain(network), (Lines{"input -> a.weight -> a", "a -> b.weight -> b"}));
  EXPECT_EQ(node(network, "a").shape, Shape{6});
  network = trace(NamedModules{{"a", a}, {"c", c}}, [&] { return c->forward(a->forward(y).narrow(1, 0, 3)); });
  EXPECT_EQ(chain(network),
            (Lines{"input -> a.weight[0:3] -> a[0:3]", "input -> a.weight[3:6] -> a[3:6]", "a[0:3] -> c.weight -> c"}));
}

TEST(TraceViews, PositionwiseLinearOnAMapCountsChannels) {
  nn::Conv2d first(nn::Conv2dOptions(1, 6, 3)), last(nn::Conv2dOptions(5, 2, 3));
  nn::Linear mix(6, 5);
  const Tensor x = torch::randn({2, 1, 8, 8});
  const Network network = trace(NamedModules{{"first", first}, {"mix", mix}, {"last", last}}, [&] {
    return last->forward(mix->forward(first->forward(x).permute({0, 2, 3, 1})).permute({0, 3, 1, 2}));
  });
  EXPECT_EQ(node(network, "first").shape, (Shape{6, 6, 6}));
  EXPECT_EQ(node(network, "mix").shape, (Shape{5, 6, 6}));
  EXPECT_FALSE(weight(network, "mix.weight").sources.at(0).per_unit);
  EXPECT_FALSE(weight(network, "mix.weight").targets.at(0).per_unit);
}

TEST(TraceViews, WhatCannotBeFollowedIsABarrier) {
  nn::Linear a(5, 6), b(4, 2);
  nn::Conv2d conv(nn::Conv2dOptions(1, 2, 3)), turned(nn::Conv2dOptions(2, 2, 3));
  const Tensor x = torch::randn({2, 5}), y = torch::randn({2, 1, 8, 8});
  Network network = trace(NamedModules{{"a", a}, {"b", b}}, [&] { return b->forward(a->forward(x).view({3, 4})); });
  EXPECT_EQ(node_names(network), (Names{"input", "b"})) << network;
  EXPECT_NE(reason(network, "a"), "");
  network = trace(NamedModules{{"conv", conv}, {"turned", turned}},
                  [&] { return turned->forward(conv->forward(y).transpose(2, 3)); });
  EXPECT_EQ(node_names(network), (Names{"input", "turned"})) << network;
  EXPECT_NE(reason(network, "conv"), "");
}

void expect_same(const Network& traced, const Network& built) {
  ASSERT_EQ(node_names(traced), node_names(built));
  for (size_t i = 0; i < traced.node_layers.size(); ++i) {
    EXPECT_EQ(traced.node_layers[i].shape, built.node_layers[i].shape);
    EXPECT_EQ(traced.node_layers[i].input, built.node_layers[i].input);
    EXPECT_EQ(traced.node_layers[i].output, built.node_layers[i].output);
    EXPECT_EQ(traced.node_layers[i].role, built.node_layers[i].role);
  }
  ASSERT_EQ(chain(traced), chain(built));
  for (size_t i = 0; i < traced.weight_layers.size(); ++i) {
    const WeightLayer &a = traced.weight_layers[i], &b = built.weight_layers[i];
    EXPECT_EQ(a.operator_name, b.operator_name);
    EXPECT_TRUE(a.weight.is_same(b.weight));
    EXPECT_TRUE(a.bias.is_same(b.bias));
    EXPECT_EQ(a.groups, b.groups);
    ASSERT_EQ(a.axes.size(), b.axes.size());
    for (size_t axis = 0; axis < a.axes.size(); ++axis) {
      EXPECT_EQ(geometry(a.axes[axis]), geometry(b.axes[axis]));
    }
    for (const auto ends : {&WeightLayer::sources, &WeightLayer::targets}) {
      for (size_t end = 0; end < (a.*ends).size(); ++end) {
        const LinkEnd &left = (a.*ends)[end], &right = (b.*ends)[end];
        EXPECT_EQ(left.per_unit, right.per_unit);
        EXPECT_EQ(left.order, right.order);
        ASSERT_EQ(left.resampling.size(), right.resampling.size());
        for (size_t axis = 0; axis < left.resampling.size(); ++axis) {
          EXPECT_EQ(left.resampling[axis].coefficients, right.resampling[axis].coefficients);
        }
      }
    }
  }
  EXPECT_EQ(traced.parameters.size(), built.parameters.size());
  EXPECT_EQ(traced.skipped.size(), built.skipped.size());
}

TEST(TraceBuilder, ATracedLeNetIsTheOneBuiltByHand) {
  struct LeNet : nn::Module {
    nn::Conv2d conv1{nn::Conv2dOptions(1, 6, 5).padding(2)}, conv2{nn::Conv2dOptions(6, 16, 5)};
    nn::BatchNorm2d norm{6};
    nn::Linear fc1{400, 120}, fc2{120, 10};
    LeNet() {
      register_module("conv1", conv1);
      register_module("norm", norm);
      register_module("conv2", conv2);
      register_module("fc1", fc1);
      register_module("fc2", fc2);
    }
    Tensor forward(const Tensor& x) {
      Tensor h = torch::max_pool2d(norm(conv1(x)).relu_(), 2);
      h = torch::avg_pool2d(torch::tanh(conv2(h)), 2);
      return torch::log_softmax(fc2(torch::dropout(fc1(h.view({h.size(0), -1})).relu(), 0.5, is_training())), 1);
    }
  } net;
  const Tensor x = torch::randn({3, 1, 28, 28});
  const Network traced = trace(net, [&] { return net.forward(x); });

  NetworkBuilder builder;
  auto h = builder.input("input", {1, 28, 28});
  h = builder.convolution("conv1", h, net.conv1->weight, net.conv1->bias, ConvolutionOptions().padding({2}));
  h = builder.max_pool(h, PoolingOptions({2}));
  builder.parameter("norm.weight", net.norm->weight);
  builder.parameter("norm.bias", net.norm->bias);
  h = builder.convolution("conv2", h, net.conv2->weight, net.conv2->bias);
  h = builder.average_pool(h, PoolingOptions({2}));
  h = builder.linear("fc1", h, net.fc1->weight, net.fc1->bias);
  builder.output(builder.linear("fc2", h, net.fc2->weight, net.fc2->bias));
  expect_same(traced, builder.build());
}

TEST(TracePooling, TheOnlyCoordinateLeftMayBeSelected) {
  nn::Conv2d conv(nn::Conv2dOptions(3, 4, 3));
  nn::Linear fc(4, 2);
  const Tensor x = torch::randn({2, 3, 6, 6});
  const Network network = trace(NamedModules{{"conv", conv}, {"fc", fc}}, [&] {
    return fc->forward(torch::adaptive_avg_pool2d(conv->forward(x), {1, 1}).select(3, 0).select(2, 0));
  });
  EXPECT_TRUE(network.skipped.empty()) << network;
  EXPECT_EQ(chain(network), (Lines{"input -> conv.weight -> conv", "conv -> fc.weight -> fc"}));
}

}  // namespace
}  // namespace dynascope::test
