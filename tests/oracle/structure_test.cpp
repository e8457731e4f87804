// SPDX-License-Identifier: BSD-3-Clause
// Graphs that are no chains. Strengths here come from automatic differentiation of the sum of what reads a node layer,
// or from a layer applied to ones, as docs/metrics.md, section 1, wires them.
#include "devices.hpp"
#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace oracle {
namespace {

namespace F = torch::nn::functional;
namespace nn = torch::nn;
using dynascope::MetricOptions;
using Names = std::vector<std::string>;

at::Tensor rows(const at::Tensor& weight) { return weight.detach().to(at::kDouble).sum(1); }
at::Tensor columns(const at::Tensor& weight) { return weight.detach().to(at::kDouble).sum(0); }

/// Modules by name and a forward function: a net in one place.
struct Net : nn::Module {
  nn::Linear linear(const std::string& name, int64_t in, int64_t out) {
    return register_module(name, nn::Linear(in, out));
  }
  nn::Conv2d conv(const std::string& name, nn::Conv2dOptions options) {
    return register_module(name, nn::Conv2d(options));
  }
};

class Structure : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(4000); }
  Net net;
};

bool mentions(const dynascope::Network& network, const std::string& word) {
  return std::any_of(network.skipped.begin(), network.skipped.end(), [&](const dynascope::SkippedInfo& item) {
    return item.name.find(word) != std::string::npos || item.reason.find(word) != std::string::npos;
  });
}

/// Strength of an output layer.
at::Tensor last(const nn::Linear& layer) { return rows(layer->weight) + layer->bias + 1; }

/// What a node layer holds if it is written. Rule 8: it is written right, or it is not and `skipped` accounts for it.
using Expected = std::vector<std::pair<std::string, at::Tensor>>;

void expect_right_or_skipped(const dynascope::Network& network, const Expected& expected) {
  std::ostringstream text;
  text << network;
  SCOPED_TRACE(text.str());
  const Names written = node_names(network);
  size_t found = 0;
  for (const auto& [name, strength] : expected) {
    SCOPED_TRACE(name);
    if (std::find(written.begin(), written.end(), name) != written.end()) {
      ++found;
      expect_close(units_of(network, name), strength);
    } else {
      EXPECT_FALSE(network.skipped.empty());
    }
  }
  EXPECT_EQ(found, written.size()) << "a node layer that is none";
  const at::Tensor mean = dynascope::link_weights(network).mean;
  EXPECT_EQ(mean.size(0), static_cast<int64_t>(network.weight_layers.size()));
  EXPECT_TRUE(mean.isfinite().all().item<bool>());
}

TEST_F(Structure, SkipConnectionIsAnIdentityLinkOfWeightOne) {
  auto fc1 = net.linear("fc1", 4, 6), fc2 = net.linear("fc2", 6, 4), head = net.linear("head", 4, 3);
  const at::Tensor x = torch::randn({5, 4});
  const auto network = dynascope::trace(net, [&] { return head(x + fc2(torch::relu(fc1(x)))); });
  expect_right_or_skipped(network, {{"input", 1 + columns(fc1->weight) + 1},
                                    {"fc1", rows(fc1->weight) + fc1->bias + columns(fc2->weight)},
                                    {"add0", rows(fc2->weight) + fc2->bias + 1 + columns(head->weight)},
                                    {"head", last(head)}});
}

TEST_F(Structure, SumInsideASumDissolves) {
  auto a = net.linear("a", 3, 4), b = net.linear("b", 3, 4), c = net.linear("c", 3, 4);
  const at::Tensor x = torch::randn({5, 3});
  const auto network = dynascope::trace(net, [&] { return torch::tanh((a(x) + b(x)) - c(x)); });
  const at::Tensor sum = rows(a->weight) + rows(b->weight) + rows(c->weight) + a->bias + b->bias + c->bias + 1;
  expect_right_or_skipped(network,
                          {{"input", 1 + columns(a->weight) + columns(b->weight) + columns(c->weight)}, {"add0", sum}});
}

TEST_F(Structure, GateMakesANodeLayerOfItsOwn) {
  auto value = net.linear("value", 3, 4), gate = net.linear("gate", 3, 4), out = net.linear("out", 4, 2);
  const at::Tensor x = torch::randn({5, 3});
  const auto network = dynascope::trace(net, [&] { return out(value(x) * torch::sigmoid(gate(x))); });
  expect_right_or_skipped(
      network, {{"input", 1 + columns(value->weight) + columns(gate->weight)},
                {"out", last(out)},
                {"mul0", rows(value->weight) + value->bias + rows(gate->weight) + gate->bias + columns(out->weight)}});
}

TEST_F(Structure, OperandsFromOneNodeLayerAreTransparent) {
  auto fc1 = net.linear("fc1", 3, 4), fc2 = net.linear("fc2", 4, 2);
  const at::Tensor x = torch::randn({5, 3});
  const auto network = dynascope::trace(net, [&] {
    const at::Tensor h = fc1(x);
    return fc2(h * torch::sigmoid(h) + h);
  });
  EXPECT_EQ(node_names(network), (Names{"input", "fc1", "fc2"})) << network;
  expect_close(units_of(network, "fc1"), rows(fc1->weight) + fc1->bias + columns(fc2->weight));
}

TEST_F(Structure, CatAddsNoNodes) {
  auto a = net.linear("a", 3, 4), b = net.linear("b", 3, 2), c = net.linear("c", 6, 5);
  const at::Tensor x = torch::randn({5, 3});
  const auto network = dynascope::trace(net, [&] { return c(torch::cat({torch::relu(a(x)), b(x)}, 1)); });
  expect_right_or_skipped(network, {{"input", 1 + columns(a->weight) + columns(b->weight)},
                                    {"c", last(c)},
                                    {"a", rows(a->weight) + a->bias + columns(c->weight).slice(0, 0, 4)},
                                    {"b", rows(b->weight) + b->bias + columns(c->weight).slice(0, 4)}});
}

TEST_F(Structure, DenseBlockReadsWhatCameBefore) {
  auto c1 = net.conv("c1", nn::Conv2dOptions(2, 3, 3).padding(1)),
       c2 = net.conv("c2", nn::Conv2dOptions(5, 2, 3).padding(1));
  const at::Tensor x = torch::randn({2, 2, 6, 5});
  const auto network = dynascope::trace(net, [&] {
    const at::Tensor h = torch::relu(c1(x));
    return c2(torch::cat({x, h}, 1));
  });
  const auto options = at::TensorOptions(at::kDouble).requires_grad(true);
  const at::Tensor input = torch::ones({1, 2, 6, 5}, options), hidden = torch::ones({1, 3, 6, 5}, options);
  const at::Tensor w1 = c1->weight.detach().to(at::kDouble), w2 = c2->weight.detach().to(at::kDouble);
  const at::Tensor written1 = at::conv2d(input, w1, {}, 1, 1);
  const at::Tensor written2 = at::conv2d(at::cat({input, hidden}, 1), w2, {}, 1, 1);
  (written1.sum() + written2.sum()).backward();
  const auto bias = [](const at::Tensor& b) { return b.detach().to(at::kDouble).view({1, -1, 1, 1}); };
  expect_right_or_skipped(network, {{"input", 1 + input.grad()},
                                    {"c1", written1 + bias(c1->bias) + hidden.grad()},
                                    {"c2", written2 + bias(c2->bias) + 1}});
}

TEST_F(Structure, ReadersBehindDifferentPoolsSeeDifferentNodeLayers) {
  auto stem = net.conv("stem", nn::Conv2dOptions(1, 2, 3));
  auto fine = net.conv("fine", nn::Conv2dOptions(2, 1, 3));
  auto head = net.linear("head", 2, 3);
  const at::Tensor x = torch::randn({2, 1, 9, 8});
  const auto network = dynascope::trace(net, [&] {
    const at::Tensor h = torch::relu(stem(x));
    const at::Tensor map = fine(h);
    return std::make_tuple(map, head(h.mean({2, 3})));
  });
  ASSERT_EQ(network.node_layers.size(), 5u) << network;
  const at::Tensor w = stem->weight.detach().to(at::kDouble);
  const at::Tensor in = w.sum({1, 2, 3}) + stem->bias;
  const at::Tensor units = torch::ones({1, 2, 7, 6}, at::TensorOptions(at::kDouble).requires_grad(true));
  at::conv2d(units, fine->weight.detach().to(at::kDouble)).sum().backward();
  expect_close(units_of(network, "stem"), in.view({1, 2, 1, 1}) + units.grad());
  const std::string pooled =
      network.node_layers[2].name.rfind("stem@", 0) == 0 ? network.node_layers[2].name : network.node_layers[3].name;
  EXPECT_EQ(pooled.rfind("stem@", 0), 0u) << network;
  expect_close(units_of(network, pooled), in + columns(head->weight));
  // The input feeds both: each way through the stem counts with its own resampling.
  const at::Tensor image = torch::ones({1, 1, 9, 8}, at::TensorOptions(at::kDouble).requires_grad(true));
  const at::Tensor written = at::conv2d(image, w);
  (written.sum() + written.mean({2, 3}).sum()).backward();
  expect_close(units_of(network, "input"), 1 + image.grad());
}

TEST_F(Structure, UpsamplingAndSkipOfAUNet) {
  auto down = net.conv("down", nn::Conv2dOptions(1, 2, 3).padding(1));
  auto mid = net.conv("mid", nn::Conv2dOptions(2, 3, 3).padding(1));
  auto up = net.conv("up", nn::Conv2dOptions(5, 1, 3).padding(1));
  const at::Tensor x = torch::randn({2, 1, 8, 6});
  for (const bool bilinear : {false, true}) {
    SCOPED_TRACE(bilinear ? "bilinear" : "nearest");
    const auto enlarge = [&](const at::Tensor& h) {
      auto options = F::InterpolateFuncOptions().scale_factor(std::vector<double>{2, 2});
      return bilinear ? F::interpolate(h, options.mode(torch::kBilinear).align_corners(false))
                      : F::interpolate(h, options.mode(torch::kNearest));
    };
    const auto network = dynascope::trace(net, [&] {
      const at::Tensor d = torch::relu(down(x));
      const at::Tensor m = torch::relu(mid(torch::max_pool2d(d, 2)));
      return up(torch::cat({d, enlarge(m)}, 1));
    });
    const auto leaf = [](at::IntArrayRef sizes) {
      return torch::ones(sizes, at::TensorOptions(at::kDouble).requires_grad(true));
    };
    const auto w = [](const nn::Conv2d& layer) { return layer->weight.detach().to(at::kDouble); };
    const auto bias = [](const nn::Conv2d& layer) { return layer->bias.detach().to(at::kDouble).view({1, -1, 1, 1}); };
    const at::Tensor image = leaf({1, 1, 8, 6}), fine = leaf({1, 2, 8, 6}), coarse = leaf({1, 2, 4, 3});
    const at::Tensor enlarged = leaf({1, 3, 8, 6});
    const at::Tensor d = at::conv2d(image, w(down), {}, 1, 1);
    const at::Tensor pooled = at::avg_pool2d(d, 2);
    const at::Tensor m = enlarge(at::conv2d(coarse, w(mid), {}, 1, 1));
    const at::Tensor u = at::conv2d(at::cat({fine, enlarged}, 1), w(up), {}, 1, 1);
    (d.sum() + pooled.sum() + m.sum() + u.sum()).backward();
    // The pool comes first, so its view of "down" has the plain name.
    expect_right_or_skipped(network, {{"input", 1 + image.grad()},
                                      {"down", pooled + bias(down) + coarse.grad()},
                                      {"down@8x6", d + bias(down) + fine.grad()},
                                      {"mid", m + bias(mid) + enlarged.grad()},
                                      {"up", u + bias(up) + 1}});
  }
}

TEST_F(Structure, LinearOnTokensIsCountedOnce) {
  auto fc1 = net.linear("fc1", 4, 6), fc2 = net.linear("fc2", 6, 3);
  const at::Tensor x = torch::randn({2, 7, 4});
  const auto network = dynascope::trace(net, [&] { return fc2(torch::gelu(fc1(x))); });
  EXPECT_EQ(node_names(network), (Names{"input", "fc1", "fc2"})) << network;
  expect_close(units_of(network, "input"), 1 + columns(fc1->weight));
  expect_close(units_of(network, "fc1"), rows(fc1->weight) + fc1->bias + columns(fc2->weight));
}

TEST_F(Structure, VocabularyEntriesAreTheInputNodesOfAnEmbedding) {
  auto embedding = net.register_module("embedding", nn::Embedding(9, 4));
  auto fc = net.linear("fc", 4, 3);
  const at::Tensor tokens = torch::randint(0, 9, {2, 5}, at::kLong);
  const auto network = dynascope::trace(net, [&] { return fc(embedding->forward(tokens).mean(1)); });
  expect_right_or_skipped(network, {{"input", 1 + rows(embedding->weight)},
                                    {"fc", last(fc)},
                                    {"embedding", columns(embedding->weight) + columns(fc->weight)}});
}

TEST_F(Structure, ParameterUsedTwiceIsTwoWeightLayers) {
  auto encoder = net.linear("encoder", 5, 3);
  const at::Tensor x = torch::randn({2, 5});
  const auto network = dynascope::trace(net, [&] { return F::linear(torch::relu(encoder(x)), encoder->weight.t()); });
  const at::Tensor& w = encoder->weight;
  expect_right_or_skipped(
      network,
      {{"input", 1 + columns(w)}, {"encoder", rows(w) + encoder->bias + rows(w)}, {"encoder#2", columns(w) + 1}});
}

TEST_F(Structure, TwoInputsThroughOneModuleAreTwoUses) {
  auto shared = net.linear("shared", 4, 3), head = net.linear("head", 6, 2);
  const at::Tensor left = torch::randn({2, 4}), right = torch::randn({2, 4});
  const auto network = dynascope::trace(net, [&] {
    return head(torch::cat({shared(left), torch::relu(shared(right))}, 1));
  });
  const at::Tensor in = rows(shared->weight) + shared->bias;
  expect_right_or_skipped(network, {{"input0", 1 + columns(shared->weight)},
                                    {"input1", 1 + columns(shared->weight)},
                                    {"head", last(head)},
                                    {"shared", in + columns(head->weight).slice(0, 0, 3)},
                                    {"shared#2", in + columns(head->weight).slice(0, 3)}});
}

TEST_F(Structure, HiddenUnitsOfAnLSTMCountEveryGateOnce) {
  auto lstm = net.register_module("lstm", nn::LSTM(nn::LSTMOptions(3, 4).num_layers(2).batch_first(true)));
  auto head = net.linear("head", 4, 2);
  const at::Tensor x = torch::randn({2, 6, 3});
  const auto network = dynascope::trace(net, [&] { return head(std::get<0>(lstm->forward(x)).select(1, 5)); });
  const auto p = net.named_parameters();
  const auto gates = [&](const std::string& name) {
    const at::Tensor value = p["lstm." + name].detach().to(at::kDouble);
    return (value.dim() == 2 ? value.sum(1) : value).view({4, 4}).sum(0);
  };
  const auto down = [&](const std::string& name) { return columns(p["lstm." + name]); };
  const auto in = [&](const std::string& l) {
    return gates("weight_ih_" + l) + gates("weight_hh_" + l) + gates("bias_ih_" + l) + gates("bias_hh_" + l);
  };
  expect_right_or_skipped(network, {{"input", 1 + down("weight_ih_l0")},
                                    {"head", last(head)},
                                    {"lstm.l0", in("l0") + down("weight_hh_l0") + down("weight_ih_l1")},
                                    {"lstm.l1", in("l1") + down("weight_hh_l1") + columns(head->weight)}});
}

TEST_F(Structure, OutputThatIsAlsoReadHasBothKindsOfLinks) {
  auto fc1 = net.linear("fc1", 3, 4), fc2 = net.linear("fc2", 4, 2);
  const at::Tensor x = torch::randn({5, 3});
  const auto network = dynascope::trace(net, [&] {
    const at::Tensor h = fc1(x);
    return std::vector<at::Tensor>{h, fc2(h)};
  });
  expect_close(units_of(network, "fc1"), rows(fc1->weight) + fc1->bias + columns(fc2->weight) + 1);
  expect_close(units_of(network, "fc1", MetricOptions().boundary(dynascope::Boundary::kZero)),
               rows(fc1->weight) + fc1->bias + columns(fc2->weight));
}

TEST_F(Structure, UnreadUnitsHaveNoOutStrength) {
  auto fc1 = net.linear("fc1", 3, 4), fc2 = net.linear("fc2", 2, 2), aside = net.linear("aside", 3, 2);
  const at::Tensor x = torch::randn({5, 3});
  const auto network = dynascope::trace(net, [&] {
    aside(x);
    return fc2(fc1(x).slice(1, 0, 2));
  });
  const at::Tensor in = rows(fc1->weight) + fc1->bias;
  expect_right_or_skipped(network, {{"input", 1 + columns(fc1->weight) + columns(aside->weight)},
                                    {"fc1[0:2]", in.slice(0, 0, 2) + columns(fc2->weight)},
                                    {"fc1[2:4]", in.slice(0, 2)},
                                    {"fc2", last(fc2)},
                                    {"aside", rows(aside->weight) + aside->bias}});
  node_layer(network, "aside");
}

TEST_F(Structure, FlippedAndPermutedUnitsKeepTheirLinks) {
  auto fc1 = net.linear("fc1", 3, 6), fc2 = net.linear("fc2", 6, 2);
  const at::Tensor x = torch::randn({5, 3});
  const auto network = dynascope::trace(net, [&] {
    return fc2(torch::relu(fc1(x)).view({5, 2, 3}).permute({0, 2, 1}).reshape({5, 6}).roll(1, 1));
  });
  const at::Tensor units = torch::ones({1, 6}, at::TensorOptions(at::kDouble).requires_grad(true));
  at::matmul(units.view({1, 2, 3}).permute({0, 2, 1}).reshape({1, 6}).roll(1, 1),
             fc2->weight.detach().to(at::kDouble).t())
      .sum()
      .backward();
  expect_right_or_skipped(network, {{"input", 1 + columns(fc1->weight)},
                                    {"fc2", last(fc2)},
                                    {"fc1", rows(fc1->weight) + fc1->bias + units.grad()[0]}});
}

TEST_F(Structure, ChannelsLastFlattenLinksToTheRightUnits) {
  auto conv = net.conv("conv", nn::Conv2dOptions(1, 2, 2));
  auto fc = net.linear("fc", 2 * 3 * 4, 3);
  const at::Tensor x = torch::randn({2, 1, 4, 5});
  const auto network = dynascope::trace(net, [&] { return fc(torch::relu(conv(x)).permute({0, 2, 3, 1}).flatten(1)); });
  ASSERT_EQ(network.node_layers.size(), 3u) << network;
  const at::Tensor out = columns(fc->weight).view({3, 4, 2}).permute({2, 0, 1});
  const at::Tensor in = conv->weight.detach().to(at::kDouble).sum({1, 2, 3}) + conv->bias;
  expect_close(units_of(network, "conv"), (in.view({2, 1, 1}) + out).contiguous());
}

/// Rule 8: what mixes units in a way that is not understood leaves a gap with a name, never a number.
TEST_F(Structure, UnknownMixingIsNamedAndNotMeasured) {
  auto fc1 = net.linear("fc1", 3, 4), fc2 = net.linear("fc2", 4, 2);
  const at::Tensor x = torch::randn({5, 3});
  const std::vector<std::pair<std::string, std::function<at::Tensor(const at::Tensor&)>>> mixers = {
      {"cumsum", [](const at::Tensor& h) { return h.cumsum(1); }},
      {"sort", [](const at::Tensor& h) { return std::get<0>(h.sort(1)); }},
      {"fft", [](const at::Tensor& h) { return at::real(at::fft_fft(h)); }},
      {"cumprod", [](const at::Tensor& h) { return h.cumprod(1); }},
  };
  for (const auto& [name, mix] : mixers) {
    SCOPED_TRACE(name);
    const auto network = dynascope::trace(net, [&, &mixer = mix] { return fc2(mixer(fc1(x))); });
    EXPECT_TRUE(mentions(network, name)) << network;
    const Names written = node_names(network);
    EXPECT_EQ(std::count(written.begin(), written.end(), "fc1"), 0) << network;
    EXPECT_EQ(weight_names(network), (Names{"fc1.weight", "fc2.weight"}));
    EXPECT_EQ(dynascope::link_weights(network).mean.size(0), 2);
  }
}

}  // namespace
}  // namespace oracle
