// SPDX-License-Identifier: BSD-3-Clause
// Recurrence and attention, drawn by hand from docs/metrics.md: every node layer of each network, and nothing skipped.
#include "sequence.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace oracle {
namespace {

TEST_F(Sequence, ACellInALoopIsTheLayerOfItsKind) {
  auto lstm = net.register_module("lstm", nn::LSTMCell(3, 4));
  auto gru = net.register_module("gru", nn::GRUCell(4, 5));
  auto head = linear("head", 5, 2);
  const Tensor x = torch::randn({6, 2, 3});
  const auto network = dynascope::trace(net, [&] {
    std::tuple<Tensor, Tensor> state = {torch::zeros({2, 4}), torch::zeros({2, 4})};
    Tensor second = torch::zeros({2, 5});
    std::vector<Tensor> outputs;
    for (int64_t t = 0; t < x.size(0); ++t) {
      state = lstm->forward(x[t], state);
      second = gru->forward(torch::dropout(std::get<0>(state), 0.1, true), second);
      outputs.push_back(second);
    }
    return head(torch::stack(outputs, 1));
  });
  const auto layer = [&](const std::string& name, int64_t units) {
    return gates(name + ".weight_ih", units) + gates(name + ".weight_hh", units) + gates(name + ".bias_ih", units) +
           gates(name + ".bias_hh", units) + columns(parameter(name + ".weight_hh"));
  };
  expect_network(network, {{"input", 1 + columns(parameter("lstm.weight_ih"))},
                           {"lstm", layer("lstm", 4) + columns(parameter("gru.weight_ih"))},
                           {"gru", layer("gru", 5) + columns(head->weight)},
                           {"head", in(head) + 1}});
}

TEST_F(Sequence, DirectionsAreConcatenatedAndProjectedUnitsAreTwoLayers) {
  auto lstm =
      net.register_module("lstm", nn::LSTM(nn::LSTMOptions(3, 5).bidirectional(true).proj_size(2).batch_first(true)));
  auto head = linear("head", 4, 2);
  const Tensor x = torch::randn({2, 6, 3});
  const auto network = dynascope::trace(net, [&] { return head(std::get<0>(lstm->forward(x))); });
  std::vector<Tensor> hidden, projected;
  for (const std::string d : {"", "_reverse"}) {
    const auto name = [&](const std::string& what) { return "lstm." + what + "_l0" + d; };
    hidden.push_back(gates(name("weight_ih"), 5) + gates(name("weight_hh"), 5) + gates(name("bias_ih"), 5) +
                     gates(name("bias_hh"), 5) + columns(parameter(name("weight_hr"))));
    projected.push_back(rows(parameter(name("weight_hr"))) + columns(parameter(name("weight_hh"))));
  }
  expect_network(network, {{"input", 1 + columns(parameter("lstm.weight_ih_l0")) +
                                         columns(parameter("lstm.weight_ih_l0_reverse"))},
                           {"lstm.l0.hidden", at::cat(hidden)},
                           {"lstm.l0", at::cat(projected) + columns(head->weight)},
                           {"head", in(head) + 1}});
}

TEST_F(Sequence, LastStatesAreReadLayerByLayer) {
  auto gru = net.register_module("gru", nn::GRU(nn::GRUOptions(3, 4).num_layers(2).bidirectional(true)));
  auto head = linear("head", 8, 2);
  const Tensor x = torch::randn({6, 2, 3});
  const auto network = dynascope::trace(net, [&] {
    const Tensor last = std::get<1>(gru->forward(x));
    return head(torch::cat({last[2], last[3]}, 1));
  });
  const auto layer = [&](const std::string& l) {
    std::vector<Tensor> both;
    for (const std::string d : {"", "_reverse"}) {
      both.push_back(gates("gru.weight_ih_" + l + d, 4) + gates("gru.weight_hh_" + l + d, 4) +
                     gates("gru.bias_ih_" + l + d, 4) + gates("gru.bias_hh_" + l + d, 4) +
                     columns(parameter("gru.weight_hh_" + l + d)));
    }
    return at::cat(both);
  };
  const auto into = [&](const std::string& l) {
    return columns(parameter("gru.weight_ih_" + l)) + columns(parameter("gru.weight_ih_" + l + "_reverse"));
  };
  expect_network(network, {{"input", 1 + into("l0")},
                           {"gru.l0", layer("l0") + into("l1")},
                           {"gru.l1", layer("l1") + columns(head->weight)},
                           {"head", in(head) + 1}});
}

TEST_F(Sequence, AFirstStateIsReadByTheWeightsOfTheStep) {
  auto encoder = net.register_module("encoder", nn::LSTM(nn::LSTMOptions(3, 4)));
  auto decoder = net.register_module("decoder", nn::LSTM(nn::LSTMOptions(2, 4)));
  auto bridge = linear("bridge", 4, 5), head = linear("head", 5, 2);
  auto cell = net.register_module("cell", nn::GRUCell(4, 5));
  const Tensor x = torch::randn({6, 2, 3}), y = torch::randn({7, 2, 2});
  const auto network = dynascope::trace(net, [&] {
    const auto state = std::get<1>(encoder->forward(x));
    const Tensor last = std::get<0>(decoder->forward(y, state))[-1];
    return head(cell->forward(last, torch::tanh(bridge(last))));
  });
  const auto layer = [&](const std::string& name, const std::string& l, int64_t units) {
    return gates(name + ".weight_ih" + l, units) + gates(name + ".weight_hh" + l, units) +
           gates(name + ".bias_ih" + l, units) + gates(name + ".bias_hh" + l, units) +
           columns(parameter(name + ".weight_hh" + l));
  };
  expect_network(network, {{"input0", 1 + columns(parameter("encoder.weight_ih_l0"))},
                           {"encoder.l0", layer("encoder", "_l0", 4) + columns(parameter("decoder.weight_hh_l0"))},
                           {"input1", 1 + columns(parameter("decoder.weight_ih_l0"))},
                           {"decoder.l0", layer("decoder", "_l0", 4) + columns(bridge->weight) +
                                              columns(parameter("cell.weight_ih"))},
                           {"bridge", in(bridge) + columns(parameter("cell.weight_hh"))},
                           {"cell", layer("cell", "", 5) + columns(head->weight)},
                           {"head", in(head) + 1}});
}

TEST_F(Sequence, QueryAndKeyEndInScoresAndTheValueGoesOn) {
  auto q = linear("q", 6, 4), k = linear("k", 6, 4), v = linear("v", 6, 8), out = linear("out", 8, 6);
  const Tensor x = torch::randn({2, 5, 6}), memory = torch::randn({2, 7, 6});
  const auto heads = [](const Tensor& h) { return h.view({2, -1, 2, h.size(2) / 2}).transpose(1, 2); };
  // Projected one by one: C++ leaves open which argument of a call is evaluated first, and inputs are numbered in
  // order.
  const auto projected = [&] {
    const Tensor query = q(x), key = k(memory);
    return std::make_tuple(query, key, v(memory));
  };
  const auto by_hand = [&] {
    const auto [query, key, value] = projected();
    Tensor scores = torch::matmul(heads(query), heads(key).transpose(2, 3)) / 1.5;
    scores = (scores + torch::zeros({5, 7})).softmax(-1);
    return out(torch::matmul(scores, heads(value)).transpose(1, 2).reshape({2, 5, 8}));
  };
  const auto fused = [&] {
    const auto [query, key, value] = projected();
    const Tensor h = torch::scaled_dot_product_attention(heads(query), heads(key), heads(value));
    return out(h.transpose(1, 2).flatten(2));
  };
  const auto batched = [&] {
    const auto [query, key, value] = projected();
    return out(torch::bmm(torch::bmm(query, key.transpose(1, 2)).softmax(-1), value));
  };
  const Expected expected = {{"input0", 1 + columns(q->weight)},
                             {"input1", 1 + columns(k->weight) + columns(v->weight)},
                             {"q", in(q)},
                             {"k", in(k)},
                             {"v", in(v) + columns(out->weight)},
                             {"out", in(out) + 1}};
  expect_network(dynascope::trace(net, by_hand), expected);
  expect_network(dynascope::trace(net, fused), expected);
  expect_network(dynascope::trace(net, batched), expected);
}

TEST_F(Sequence, OneProjectionIsThreeNodeLayers) {
  auto attention = net.register_module("attn", nn::MultiheadAttention(nn::MultiheadAttentionOptions(6, 2)));
  auto head = linear("head", 6, 2);
  const Tensor x = torch::randn({5, 2, 6});
  const auto network = dynascope::trace(net, [&] { return head(x + std::get<0>(attention->forward(x, x, x))); });
  const Tensor w = parameter("attn.in_proj_weight"), b = parameter("attn.in_proj_bias");
  const Tensor out = parameter("attn.out_proj.weight");
  const auto part = [&](int64_t first) { return rows(w.narrow(0, first, 6)) + b.narrow(0, first, 6); };
  expect_network(network, {{"input", 1 + columns(w) + 1},
                           {"attn[0:6]", part(0)},
                           {"attn[6:12]", part(6)},
                           {"attn[12:18]", part(12) + columns(out)},
                           {"add0", rows(out) + parameter("attn.out_proj.bias") + 1 + columns(head->weight)},
                           {"head", in(head) + 1}});
}

TEST_F(Sequence, CrossAttentionWithOtherSizesOfKeyAndValue) {
  auto attention =
      net.register_module("attn", nn::MultiheadAttention(nn::MultiheadAttentionOptions(6, 2).kdim(4).vdim(4)));
  const Tensor x = torch::randn({5, 2, 6}), key = torch::randn({7, 2, 4}), value = torch::randn({7, 2, 4});
  const auto network = dynascope::trace(net, [&] { return std::get<0>(attention->forward(x, key, value)); });
  const Tensor b = parameter("attn.in_proj_bias"), out = parameter("attn.out_proj.weight");
  EXPECT_EQ(network.node_layers.size(), 7U) << network;
  EXPECT_TRUE(network.skipped.empty()) << network;
  const auto layer = [&](const std::string& name, int64_t first) {
    return rows(parameter("attn." + name)) + b.narrow(0, first, 6);
  };
  const Expected expected = {{"input0", 1 + columns(parameter("attn.q_proj_weight"))},
                             {"input1", 1 + columns(parameter("attn.k_proj_weight"))},
                             {"input2", 1 + columns(parameter("attn.v_proj_weight"))}};
  for (const auto& [name, strength] : expected) {
    SCOPED_TRACE(name);
    expect_close(units_of(network, name), strength);
  }
  expect_close(units_of(network, "attn"), layer("q_proj_weight", 0));
  expect_close(units_of(network, "attn#2"), layer("k_proj_weight", 6));
  expect_close(units_of(network, "attn#3"), layer("v_proj_weight", 12) + columns(out));
  expect_close(units_of(network, "attn.out_proj"), rows(out) + parameter("attn.out_proj.bias") + 1);
}

TEST_F(Sequence, RotaryPositionsKeepQueryAndKey) {
  auto q = linear("q", 6, 4), k = linear("k", 6, 4), v = linear("v", 6, 4);
  const Tensor x = torch::randn({2, 5, 6}), cosine = torch::rand({5, 4}), sine = torch::rand({5, 4});
  const auto rotate = [&](const Tensor& h) {
    const auto halves = h.chunk(2, -1);
    return h * cosine + torch::cat({-halves[1], halves[0]}, -1) * sine;
  };
  const auto network =
      dynascope::trace(net, [&] { return torch::scaled_dot_product_attention(rotate(q(x)), rotate(k(x)), v(x)); });
  expect_network(network, {{"input", 1 + columns(q->weight) + columns(k->weight) + columns(v->weight)},
                           {"q", in(q)},
                           {"k", in(k)},
                           {"v", in(v) + 1}});
}

TEST_F(Sequence, GatedUnitsOfOneProjectionAreItsTwoHalves) {
  auto up = linear("up", 3, 8), down = linear("down", 4, 2);
  const Tensor x = torch::randn({2, 3});
  const auto whole = in(up);
  const Expected expected = {{"input", 1 + columns(up->weight)},
                             {"mul0", whole.slice(0, 0, 4) + whole.slice(0, 4) + columns(down->weight)},
                             {"down", in(down) + 1}};
  expect_network(dynascope::trace(net, [&] { return down(torch::glu(up(x), 1)); }), expected);
  expect_network(dynascope::trace(net,
                                  [&] {
                                    const auto halves = up(x).chunk(2, 1);
                                    return down(torch::silu(halves[0]) * halves[1]);
                                  }),
                 expected);
}

TEST_F(Sequence, TokensAddedUpAreTheirNodeLayer) {
  auto fc1 = linear("fc1", 3, 4), fc2 = linear("fc2", 4, 2);
  const Tensor x = torch::randn({2, 5, 3});
  const Expected expected = {
      {"input", 1 + columns(fc1->weight)}, {"fc1", in(fc1) + columns(fc2->weight)}, {"fc2", in(fc2) + 1}};
  expect_network(dynascope::trace(net, [&] { return fc2(torch::relu(fc1(x)).sum(1)); }), expected);
  expect_network(dynascope::trace(net, [&] { return fc2(torch::relu(fc1(x)).sum(1, true)); }), expected);
}

TEST_F(Sequence, ConstantsJoinedToUnitsLinkNothing) {
  auto fc1 = linear("fc1", 3, 4), fc2 = linear("fc2", 9, 2);
  const Tensor x = torch::randn({2, 3});
  const Tensor front = net.register_buffer("front", torch::randn({2, 2}));
  const Tensor back = net.register_parameter("back", torch::randn({3}));
  const auto network = dynascope::trace(net, [&] {
    return fc2(torch::cat({front, torch::relu(fc1(x)), back.expand({2, 3})}, 1));
  });
  const Tensor linked = fc2->weight.narrow(1, 2, 4);
  EXPECT_EQ(network.node_layers.size(), 3U) << network;
  EXPECT_EQ(weight_names(network),
            (std::vector<std::string>{"fc1.weight", "fc2.weight[:, 0:2]", "fc2.weight[:, 2:6]", "fc2.weight[:, 6:9]"}))
      << network;
  expect_close(units_of(network, "fc1"), in(fc1) + columns(linked));
  expect_close(units_of(network, "fc2"), rows(linked) + as_double(fc2->bias) + 1);
  ASSERT_EQ(network.skipped.size(), 2U) << network;
  EXPECT_EQ(network.skipped[0].reason, "it reads constants");
}

TEST_F(Sequence, ConstantChannelsOfAMapLinkNothing) {
  auto conv = net.register_module("conv", nn::Conv2d(nn::Conv2dOptions(3, 2, 2)));
  auto next = net.register_module("next", nn::Conv2d(nn::Conv2dOptions(4, 1, 1)));
  const Tensor x = torch::randn({2, 3, 4, 4});
  const Tensor grid = net.register_buffer("grid", torch::rand({2, 2, 3, 3}));
  const auto network = dynascope::trace(net, [&] { return next->forward(torch::cat({conv->forward(x), grid}, 1)); });
  EXPECT_EQ(network.node_layers.size(), 3U) << network;
  const Tensor linked = as_double(next->weight).narrow(1, 0, 2).flatten();
  const Tensor inward = as_double(conv->weight).sum({1, 2, 3}) + as_double(conv->bias);
  expect_close(units_of(network, "conv"), (inward + linked).view({2, 1}).expand({2, 9}).flatten());
  expect_close(units_of(network, "next"), (linked.sum() + as_double(next->bias) + 1).expand({9}));
}

TEST_F(Sequence, TwoOrdersOfOneNodeLayerAreNotAddedUp) {
  auto fc1 = linear("fc1", 3, 4), fc2 = linear("fc2", 4, 2);
  const Tensor x = torch::randn({2, 3});
  const auto sums = std::vector<std::function<Tensor(const Tensor&)>>{[](const Tensor& h) { return h + h.flip(1); },
                                                                      [](const Tensor& h) { return h * h.roll(1, 1); },
                                                                      [](const Tensor& h) { return h.flip(1) - h; }};
  for (const auto& sum : sums) {
    const auto network = dynascope::trace(net, [&] { return fc2(sum(fc1(x))); });
    EXPECT_EQ(node_names(network), (std::vector<std::string>{"input", "fc2"})) << network;
    ASSERT_EQ(network.skipped.size(), 2U) << network;
    EXPECT_EQ(network.skipped[0].name, "fc1");
    EXPECT_NE(network.skipped[0].reason.find("another order"), std::string::npos) << network;
  }
}

TEST_F(Sequence, TwoNodeLayersAreAddedUpInAnyOrder) {
  auto fc2 = linear("fc2", 4, 2);
  const Tensor x = torch::randn({2, 3});
  auto fc3 = linear("fc3", 3, 2), fc4 = linear("fc4", 3, 2);
  const auto network = dynascope::trace(net, [&] {
    const Tensor a = fc3(x), b = fc4(x);
    return std::make_tuple(fc2(torch::cat({a, b}, 1) + torch::cat({b, a}, 1)), a, b);
  });
  const Tensor both = columns(fc2->weight);
  expect_network(network, {{"input", 1 + columns(fc3->weight) + columns(fc4->weight)},
                           {"fc3", in(fc3) + 2 + 1},
                           {"fc4", in(fc4) + 2 + 1},
                           {"add0", 2 + both},
                           {"fc2", in(fc2) + 1}});
}

TEST_F(Sequence, HandWrittenNormalisationIsTransparent) {
  auto fc1 = linear("fc1", 3, 4), fc2 = linear("fc2", 4, 2);
  const Tensor x = torch::randn({2, 5, 3});
  const auto network = dynascope::trace(net, [&] {
    const Tensor h = fc1(x);
    const Tensor centred = h - h.mean(-1, true);
    return fc2(centred / (centred.pow(2).mean(-1, true) + 1e-5).sqrt());
  });
  expect_network(network,
                 {{"input", 1 + columns(fc1->weight)}, {"fc1", in(fc1) + columns(fc2->weight)}, {"fc2", in(fc2) + 1}});
}

}  // namespace
}  // namespace oracle
