// SPDX-License-Identifier: BSD-3-Clause
// Whether what trace() says of ends, orders and resampling is true: the strengths measured from it are those that torch
// gives when ones flow forward (in-strength) and the gradient of a sum flows back (out-strength).
#include "network_test.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;
using Step = std::function<Tensor(const Tensor&)>;

/// Layer k reads node layer k and writes node layer k + 1, whose units have `shapes[k + 1]` without a batch axis.
/// All steps are affine, so f(x) - f(0) is their linear part.
std::vector<Tensor> expected_strengths(const std::vector<Step>& steps, const std::vector<Shape>& shapes) {
  std::vector<Tensor> strengths;
  for (size_t k = 0; k < shapes.size(); ++k) {
    Shape batched = shapes[k];
    batched.insert(batched.begin(), 1);
    Tensor in = torch::ones(batched, at::kDouble), out = torch::ones(batched, at::kDouble);
    if (k > 0) {
      Shape before = shapes[k - 1];
      before.insert(before.begin(), 1);
      in = steps[k - 1](torch::ones(before, at::kDouble)).detach();
    }
    if (k < steps.size()) {
      const Tensor units = torch::zeros(batched, at::kDouble).requires_grad_(true);
      out = torch::autograd::grad({steps[k](units).sum()}, {units})[0];
    }
    strengths.push_back((in + out).squeeze(0));
  }
  return strengths;
}

void expect_strengths(const std::vector<std::pair<std::string, std::shared_ptr<nn::Module>>>& layers,
                      const std::vector<Step>& steps, const std::vector<Shape>& shapes) {
  NamedModules modules;
  for (const auto& [name, layer] : layers) {
    layer->to(at::kDouble);
    modules.emplace_back(name, layer);
  }
  Shape batched = shapes[0];
  batched.insert(batched.begin(), 2);
  const Tensor x = torch::randn(batched, at::kDouble);
  const Network network = trace(modules, [&] {
    Tensor h = x;
    for (const Step& step : steps) {
      h = step(h);
    }
    return h;
  });
  ASSERT_TRUE(network.skipped.empty()) << network;
  ASSERT_EQ(network.node_layers.size(), shapes.size()) << network;
  const std::vector<Tensor> found = node_strength(network);
  const std::vector<NodeLayerInfo> info = node_layer_info(network);
  const std::vector<Tensor> expected = expected_strengths(steps, shapes);
  for (size_t k = 0; k < shapes.size(); ++k) {
    SCOPED_TRACE(network.node_layers[k].name);
    EXPECT_EQ(network.node_layers[k].shape, shapes[k]);
    Tensor full = found[k].to(at::kDouble).view(info[k].stored_shape);
    for (size_t axis = 0; axis < info[k].classes.size(); ++axis) {
      if (!info[k].classes[axis].empty()) {
        const Tensor classes =
            torch::tensor(std::vector<int64_t>(info[k].classes[axis].begin(), info[k].classes[axis].end()));
        full = full.index_select(static_cast<int64_t>(axis), classes);
      }
    }
    EXPECT_TRUE(full.allclose(expected[k], 1e-5, 1e-5)) << full << expected[k];
  }
}

TEST(TraceStrength, GroupsPaddingPoolsAndPermutedFlatten) {
  torch::manual_seed(11);
  nn::Conv2d conv1(nn::Conv2dOptions(4, 6, 3).padding(1).groups(2)),
      conv2(nn::Conv2dOptions(6, 4, {3, 2}).stride({1, 2}));
  nn::Linear fc(4 * 2 * 2, 3);
  expect_strengths({{"conv1", conv1.ptr()}, {"conv2", conv2.ptr()}, {"fc", fc.ptr()}},
                   {[&](const Tensor& h) { return torch::avg_pool2d(torch::avg_pool2d(conv1(h), 3, 1, 1), 2); },
                    [&](const Tensor& h) {
                      return torch::adaptive_avg_pool2d(conv2(h), {2, 2});
                    },
                    [&](const Tensor& h) {
                      return fc(h.permute({0, 2, 3, 1}).flatten(1));
                    }},
                   {{4, 11, 10}, {6, 5, 5}, {4, 2, 2}, {3}});
}

TEST(TraceStrength, PaddedBeforeStringPaddingAndGlobalMean) {
  torch::manual_seed(12);
  nn::Conv1d conv1(nn::Conv1dOptions(2, 3, 4).stride(2)), conv2(nn::Conv1dOptions(3, 5, 4).padding(torch::kSame));
  nn::Linear fc(5, 2);
  expect_strengths(
      {{"conv1", conv1.ptr()}, {"conv2", conv2.ptr()}, {"fc", fc.ptr()}},
      {[&](const Tensor& h) {
         return conv1(torch::constant_pad_nd(h, {2, 1}));
       },
       [&](const Tensor& h) { return conv2(h).mean({2}, true); }, [&](const Tensor& h) { return fc(h.squeeze(2)); }},
      {{2, 9}, {3, 5}, {5, 1}, {2}});
}

TEST(TraceStrength, LinearIntoAMapAndTransposedConvolution) {
  torch::manual_seed(13);
  nn::Linear fc(3, 24);
  nn::ConvTranspose2d up(nn::ConvTranspose2dOptions(4, 6, 3).stride(2).padding(1).output_padding(1).groups(2));
  expect_strengths({{"fc", fc.ptr()}, {"up", up.ptr()}},
                   {[&](const Tensor& h) {
                      return fc(h).view({-1, 4, 2, 3});
                    },
                    [&](const Tensor& h) { return up(h); }},
                   {{3}, {4, 2, 3}, {6, 4, 6}});
}

TEST(TraceStrength, ProductsWithTheInputsFirst) {
  torch::manual_seed(14);
  struct Product : nn::Module {
    Tensor w, b;
    Product(int64_t in, int64_t out) {
      w = register_parameter("w", torch::randn({in, out}));
      b = register_parameter("b", torch::randn({out}));
    }
  };
  const auto first = std::make_shared<Product>(5, 4), second = std::make_shared<Product>(4, 3);
  expect_strengths({{"first", first}, {"second", second}},
                   {[&](const Tensor& h) { return h.matmul(first->w) + first->b; },
                    [&](const Tensor& h) { return torch::addmm(second->b, h, second->w); }},
                   {{5}, {4}, {3}});
}

TEST(TraceStrength, ShuffledChannelsBetweenLinearAndConvolution) {
  torch::manual_seed(15);
  nn::Linear fc(3, 12);
  nn::Conv1d conv(nn::Conv1dOptions(4, 2, 2));
  // The linear layer writes positions first: unit (c, x) is its output x * 4 + c.
  expect_strengths({{"fc", fc.ptr()}, {"conv", conv.ptr()}},
                   {[&](const Tensor& h) {
                      return fc(h).view({-1, 3, 4}).transpose(1, 2);
                    },
                    [&](const Tensor& h) { return conv(h); }},
                   {{3}, {4, 3}, {2, 2}});
}

}  // namespace
}  // namespace dynascope::test
