// SPDX-License-Identifier: BSD-3-Clause
// What trace() makes of chains, operator by operator, compared with what is written here by hand.
#include "network_test.hpp"

#include <dynascope/error.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/network_builder.hpp>
#include <dynascope/trace.hpp>

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

/// A module that is nothing but parameters.
struct Bag : nn::Module {
  Tensor add(const std::string& name, const Tensor& value) { return register_parameter(name, value); }
};

/// Two linears with something between them; both are always placed.
struct Pair : nn::Module {
  nn::Linear a, b;
  explicit Pair(int64_t width = 6) : a(5, width), b(width, 4) {
    register_module("a", a);
    register_module("b", b);
  }
};

Network trace_between(const std::function<Tensor(const Tensor&)>& between) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  return trace(pair, [&] { return pair.b->forward(between(pair.a->forward(x))); });
}

const Lines kPairChain = {"input -> a.weight -> a", "a -> b.weight -> b"};

TEST(TraceLinear, SequentialIsNamedByPosition) {
  nn::Sequential model(nn::Linear(8, 6), nn::ReLU(), nn::Linear(nn::LinearOptions(6, 3).bias(false)));
  const Tensor x = torch::randn({4, 8});
  const Network network = trace(model, [&] { return model->forward(x); });
  EXPECT_EQ(chain(network), (Lines{"input -> 0.weight -> 0", "0 -> 2.weight -> 2"}));
  EXPECT_EQ(node(network, "input").shape, Shape{8});
  EXPECT_EQ(node(network, "0").shape, Shape{6});
  EXPECT_TRUE(node(network, "input").input);
  EXPECT_FALSE(node(network, "0").input || node(network, "0").output);
  EXPECT_TRUE(node(network, "2").output);
  EXPECT_TRUE(weight(network, "0.weight").weight.is_same(model[0]->as<nn::Linear>()->weight));
  EXPECT_TRUE(weight(network, "0.weight").bias.is_same(model[0]->as<nn::Linear>()->bias));
  EXPECT_FALSE(weight(network, "2.weight").bias.defined());
  EXPECT_FALSE(weight(network, "0.weight").transposed);
  EXPECT_TRUE(network.skipped.empty()) << network;
  EXPECT_EQ(network.parameters.size(), 3U);
}

TEST(TraceLinear, TokensAreNoUnits) {
  nn::Sequential model(nn::Linear(8, 6), nn::LayerNorm(nn::LayerNormOptions({6})), nn::Linear(6, 3));
  const Tensor x = torch::randn({4, 7, 8});
  const Network network = trace(model, [&] { return model->forward(x).mean(1); });
  EXPECT_EQ(chain(network), (Lines{"input -> 0.weight -> 0", "0 -> 2.weight -> 2"}));
  EXPECT_EQ(node(network, "0").shape, Shape{6});
  EXPECT_EQ(node(network, "2").shape, Shape{3});
  EXPECT_TRUE(weight(network, "2.weight").bias.defined()) << "added after the product";
  EXPECT_TRUE(network.skipped.empty()) << network;
}

TEST(TraceLinear, EverySpellingOfAProduct) {
  Bag bag;
  const Tensor w = bag.add("w", torch::randn({3, 5})), v = bag.add("v", torch::randn({5, 3}));
  const Tensor b = bag.add("b", torch::randn({3})), x = torch::randn({2, 5});
  const Tensor tokens = torch::randn({2, 4, 5});
  const Tensor wide = x.to(at::kDouble);
  Tensor out = torch::empty({2, 3});
  struct Case {
    const char* name;
    std::function<Tensor()> forward;
    std::string layer;
    bool bias, transposed;
  };
  const std::vector<Case> cases = {
      {"mm", [&] { return x.mm(w.t()); }, "w", false, false},
      {"mm, inputs first", [&] { return x.mm(v); }, "v", false, true},
      {"matmul", [&] { return torch::matmul(x, v); }, "v", false, true},
      {"matmul and add", [&] { return torch::matmul(x, w.t()) + b; }, "w", true, false},
      {"add first", [&] { return b + torch::matmul(x, w.t()); }, "w", true, false},
      {"matmul, transpose", [&] { return torch::matmul(x, w.transpose(0, 1)); }, "w", false, false},
      {"weight on the left", [&] { return w.mm(x.t()).t(); }, "w", false, false},
      {"mv", [&] { return w.mv(x[0]); }, "w", false, false},
      {"addmm", [&] { return torch::addmm(b, x, v); }, "v", true, true},
      {"linear", [&] { return torch::linear(x, w, b); }, "w", true, false},
      {"functional", [&] { return nn::functional::linear(x, w, b); }, "w", true, false},
      {"mm, then add in place", [&] { return x.mm(w.t()).add_(b); }, "w", true, false},
      {"matmul of one row", [&] { return torch::matmul(x[0], v); }, "v", false, true},
      {"matmul, weight on the left", [&] { return w.matmul(x[0]); }, "w", false, false},
      {"matmul of tokens", [&] { return torch::matmul(tokens, v) + b; }, "v", true, true},
      {"linear of tokens", [&] { return nn::functional::linear(tokens, w, b); }, "w", true, false},
      {"linear of tokens without bias", [&] { return nn::functional::linear(tokens, w); }, "w", false, false},
      {"linear of maps", [&] { return torch::linear(tokens.unsqueeze(1), w, b); }, "w", true, false},
      {"linear of one row", [&] { return torch::linear(x[0], w, b); }, "w", true, false},
      {"linalg", [&] { return at::linalg_matmul(tokens, v); }, "v", false, true},
      {"mT", [&] { return x.matmul(w.mT()); }, "w", false, false},
      {"numpy_T", [&] { return x.matmul(w.numpy_T()); }, "w", false, false},
      {"permute",
       [&] {
         return x.matmul(w.permute({1, 0}));
       },
       "w", false, false},
      {"swapaxes", [&] { return x.matmul(w.swapaxes(0, 1)); }, "w", false, false},
      {"transposed copy", [&] { return x.matmul(w.t().contiguous()); }, "w", false, false},
      {"bmm",
       [&] {
         return tokens.bmm(v.unsqueeze(0).expand({2, 5, 3}));
       },
       "v", false, true},
      {"bmm of one", [&] { return x.unsqueeze(0).bmm(v.unsqueeze(0)); }, "v", false, true},
      {"baddbmm", [&] { return torch::baddbmm(b, x.unsqueeze(0), v.unsqueeze(0)); }, "v", true, true},
      {"addmv", [&] { return torch::addmv(b, w, x[0]); }, "w", true, false},
      {"einsum",
       [&] {
         return torch::einsum("bi,oi->bo", {x, w});
       },
       "w", false, false},
      {"einsum and add",
       [&] {
         return torch::einsum("bti,io->bto", {tokens, v}) + b;
       },
       "v", true, true},
      {"tensordot", [&] { return torch::tensordot(tokens, w, {2}, {1}); }, "w", false, false},
      {"inner", [&] { return torch::inner(tokens, w); }, "w", false, false},
      {"mm into a tensor", [&] { return torch::mm_out(out, x, v); }, "v", false, true},
      {"addmm in place",
       [&] {
         return torch::zeros({2, 3}).addmm_(x, v);
       },
       "v", false, true},
      {"cast, then t", [&] { return wide.matmul(w.to(at::kDouble).t()); }, "w", false, false},
      {"cast, then transpose", [&] { return wide.matmul(w.to(at::kDouble).transpose(-1, 0)); }, "w", false, false},
      {"cast, then permute",
       [&] {
         return wide.matmul(w.to(at::kDouble).permute({1, 0}));
       },
       "w", false, false},
      {"cast, then mT", [&] { return wide.matmul(w.to(at::kDouble).mT()); }, "w", false, false},
      {"cast, then numpy_T", [&] { return wide.matmul(w.to(at::kDouble).numpy_T()); }, "w", false, false},
      {"cast, then swapdims", [&] { return wide.matmul(w.to(at::kDouble).swapdims(0, 1)); }, "w", false, false},
      {"cast, turned twice", [&] { return wide.matmul(v.to(at::kDouble).t().t()); }, "v", false, true},
      {"cast weight", [&] { return nn::functional::linear(x.to(at::kDouble), w.to(at::kDouble), b.to(at::kDouble)); },
       "w", true, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Network network = trace(bag, c.forward);
    EXPECT_EQ(chain(network), (Lines{"input -> " + c.layer + " -> " + c.layer}));
    const WeightLayer& layer = weight(network, c.layer);
    EXPECT_EQ(layer.bias.defined(), c.bias);
    EXPECT_EQ(layer.transposed, c.transposed);
    EXPECT_TRUE(layer.weight.is_same(c.layer == "w" ? w : v));
    EXPECT_EQ(node(network, "input").shape, Shape{5});
    EXPECT_EQ(node(network, c.layer).shape, Shape{3});
    const Tensor rows = layer.weight.sum(c.transposed ? 0 : 1) + (c.bias ? b : torch::zeros({3})) + 1;
    ASSERT_EQ(network.node_layers.size(), 2U) << network;
    EXPECT_TRUE(torch::allclose(node_strength(network).at(1), rows, 1e-5, 1e-5));
  }
}

TEST(TraceLinear, RangesOfRowsAreLayersOfTheirOwn) {
  Bag bag;
  const Tensor w = bag.add("w", torch::randn({6, 5})), x = torch::randn({2, 5});
  const Network network = trace(bag, [&] {
    const auto halves = w.chunk(2, 0);
    const Tensor first = x.mm(halves[0].t());
    return std::make_tuple(first, nn::functional::linear(x, halves[1]));
  });
  EXPECT_EQ(chain(network), (Lines{"input -> w[0:3] -> w[0:3]", "input -> w[3:6] -> w[3:6]"}));
  EXPECT_TRUE(weight(network, "w[3:6]").weight.equal(w.slice(0, 3, 6)));
  EXPECT_TRUE(weight(network, "w[3:6]").weight.is_alias_of(w));
}

TEST(TraceLinear, AParameterUsedTwiceIsTwoLayersOfOneStorage) {
  nn::Linear shared(5, 4);
  const Tensor x = torch::randn({2, 5}), y = torch::randn({2, 5});
  const Network network = trace(shared, [&] {
    const Tensor first = shared->forward(x);
    return std::make_tuple(first, shared->forward(y));
  });
  EXPECT_EQ(chain(network), (Lines{"input0 -> weight -> weight", "input1 -> weight#2 -> weight#2"}));
  EXPECT_TRUE(weight(network, "weight#2").weight.is_same(shared->weight));
}

TEST(TraceLinear, ALoopOverItsOwnOutputIsNotPlaced) {
  nn::Linear cell(5, 5), head(5, 2);
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(NamedModules{{"cell", cell}, {"head", head}},
                                [&] { return head->forward(cell->forward(cell->forward(x).relu()).relu()); });
  EXPECT_EQ(chain(network), (Lines{" -> cell.weight -> ", " -> head.weight -> head"}));
  EXPECT_NE(reason(network, "cell.weight").find("recurrent"), std::string::npos) << network;
}

TEST(TraceLinear, AWeightReadTheOtherWayRoundIsNoLoop) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  const Network network = trace(pair, [&] {
    const Tensor code = pair.b->forward(torch::relu(pair.a->forward(x)));
    return code.matmul(pair.b->weight).matmul(pair.a->weight);
  });
  EXPECT_TRUE(network.skipped.empty()) << network;
  EXPECT_EQ(chain(network), (Lines{"input -> a.weight -> a", "a -> b.weight -> b", "b -> b.weight#2 -> b#2",
                                   "b#2 -> a.weight#2 -> a#2"}));
}

TEST(TraceLinear, OnlyAParameterAddedToTheProductItselfIsItsBias) {
  Bag bag;
  const Tensor w = bag.add("w", torch::randn({5, 4})), b = bag.add("b", torch::randn({4}));
  const Tensor x = torch::randn({3, 5});
  EXPECT_TRUE(weight(trace(bag, [&] { return x.matmul(w) + b; }), "w").bias.is_same(b));
  EXPECT_FALSE(weight(trace(bag, [&] { return torch::relu(x.matmul(w)) + b; }), "w").bias.defined());
  EXPECT_FALSE(weight(trace(bag, [&] { return x.matmul(w) * 2 + b; }), "w").bias.defined());
}

TEST(TraceLinear, ABatchOfOneIsNoUnitAxis) {
  Pair pair;
  const Tensor x = torch::randn({1, 5});
  const Network network = trace(pair, [&] { return pair.b->forward(pair.a->forward(x).view({-1})); });
  EXPECT_EQ(chain(network), kPairChain);
  EXPECT_EQ(node(network, "a").shape, Shape{6});
}

TEST(TraceTransparent, ActivationsDropoutAndScalarsKeepTheNodeLayer) {
  const Tensor scale = torch::tensor(2.0), mask = torch::ones({6}, at::kBool);
  const std::vector<std::pair<std::string, std::function<Tensor(const Tensor&)>>> cases = {
      {"relu", [](const Tensor& h) { return h.relu(); }},
      {"relu_", [](const Tensor& h) { return Tensor(h).relu_(); }},
      {"leaky_relu", [](const Tensor& h) { return torch::leaky_relu(h, 0.1); }},
      {"leaky_relu_", [](const Tensor& h) { return nn::LeakyReLU(nn::LeakyReLUOptions().inplace(true))(h); }},
      {"gelu", [](const Tensor& h) { return torch::gelu(h); }},
      {"elu_", [](const Tensor& h) { return nn::ELU(nn::ELUOptions().inplace(true))(h); }},
      {"silu", [](const Tensor& h) { return torch::silu(h); }},
      {"sigmoid", [](const Tensor& h) { return h.sigmoid(); }},
      {"tanh", [](const Tensor& h) { return h.tanh(); }},
      {"softmax", [](const Tensor& h) { return h.softmax(1); }},
      {"log_softmax", [](const Tensor& h) { return nn::functional::log_softmax(h, 1); }},
      {"hardtanh", [](const Tensor& h) { return nn::Hardtanh()(h); }},
      {"softplus", [](const Tensor& h) { return nn::Softplus()(h); }},
      {"selu", [](const Tensor& h) { return nn::SELU()(h); }},
      {"mish", [](const Tensor& h) { return nn::Mish()(h); }},
      {"dropout", [](const Tensor& h) { return nn::Dropout(0.5)->forward(h); }},
      {"dropout at work", [](const Tensor& h) { return torch::dropout(h, 0.5, true); }},
      {"alpha dropout", [](const Tensor& h) { return torch::alpha_dropout(h, 0.5, true); }},
      {"x * sigmoid(x)", [](const Tensor& h) { return h * h.sigmoid(); }},
      {"scalars", [](const Tensor& h) { return (h * 2 + 1) / 3 - 0.5; }},
      {"tensor scalar", [&](const Tensor& h) { return h * scale; }},
      {"mask", [&](const Tensor& h) { return h.masked_fill(mask, 0); }},
      {"own mask", [](const Tensor& h) { return h * (h > 0); }},
      {"where", [](const Tensor& h) { return torch::where(h > 0, h, torch::zeros_like(h)); }},
      {"noise", [](const Tensor& h) { return h + torch::randn_like(h); }},
      {"layer norm", [](const Tensor& h) { return torch::layer_norm(h, {6}); }},
      {"to", [](const Tensor& h) { return h.to(at::kDouble).to(at::kFloat); }},
      {"clone, detach", [](const Tensor& h) { return h.clone().detach(); }},
      {"data", [](const Tensor& h) { return h.data(); }},
      {"view and back",
       [](const Tensor& h) {
         return h.view({3, 2, 3}).reshape({3, 6});
       }},
      {"unsqueeze and back", [](const Tensor& h) { return h.unsqueeze(1).squeeze(1).unsqueeze(-1).squeeze(); }},
      {"transpose and back", [](const Tensor& h) { return h.t().contiguous().t(); }},
      {"in place on a view", [](const Tensor& h) { return h.view({-1}).relu_(), h; }},
      {"copy_", [](const Tensor& h) { return torch::empty_like(h).copy_(h); }},
  };
  for (const auto& [name, between] : cases) {
    SCOPED_TRACE(name);
    const Network network = trace_between(between);
    EXPECT_EQ(chain(network), kPairChain);
    EXPECT_EQ(node(network, "a").shape, Shape{6});
    EXPECT_TRUE(network.skipped.empty()) << network;
    const LinkEnd& read = weight(network, "b.weight").sources.at(0);
    EXPECT_FALSE(read.per_unit);
    EXPECT_TRUE(read.order.empty());
  }
}

TEST(TraceBarrier, WhatIsNotUnderstoodIsNamedAndNeverGuessed) {
  const std::vector<std::tuple<std::string, std::function<Tensor(const Tensor&)>, std::string>> cases = {
      {"cumsum", [](const Tensor& h) { return h.cumsum(1); }, "aten::cumsum"},
      {"constant matrix",
       [](const Tensor& h) {
         return h.mm(torch::ones({6, 6}));
       },
       "aten::mm"},
      {"normalised", [](const Tensor& h) { return h / h.norm(); }, "aten::norm"},
      {"partial write", [](const Tensor& h) { return h.narrow(1, 0, 3).copy_(h.narrow(1, 3, 3)), h; }, "aten::copy_"},
      {"sort", [](const Tensor& h) { return std::get<0>(h.sort(1)); }, "aten::sort"},
  };
  for (const auto& [name, between, operation] : cases) {
    SCOPED_TRACE(name);
    const Network network = trace_between(between);
    EXPECT_EQ(node_names(network), (Names{"input", "b"}));
    EXPECT_EQ(chain(network), (Lines{"input -> a.weight -> ", " -> b.weight -> b"}));
    EXPECT_NE(reason(network, operation), "") << network;
    EXPECT_NE(reason(network, "a"), "") << network;
  }
}

TEST(TraceBarrier, ATensorWithoutElementsIsNoCrash) {
  Pair pair;
  const Tensor x = torch::randn({0, 5});
  const Network network = trace(pair, [&] { return pair.b->forward(pair.a->forward(x).view({6, 0}).t()); });
  EXPECT_EQ(node_names(network), (Names{"input", "b"}));
  EXPECT_NE(reason(network, "a"), "");
}

TEST(TraceBarrier, AWeightThatReadsADecisionKeepsItsStatistics) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  const Network network = trace(pair, [&] { return pair.b->forward((pair.a->forward(x) > 0).to(at::kFloat)); });
  EXPECT_EQ(chain(network), (Lines{"input -> a.weight -> a", " -> b.weight -> "}));
  EXPECT_TRUE(weight(network, "b.weight").bias.is_same(pair.b->bias));
  EXPECT_EQ(reason(network, "aten::addmm"), "it reads no activation");
}

TEST(TraceBarrier, AWeightThatReadsConstantsKeepsItsStatistics) {
  Pair pair;
  auto main = pair.register_module("main", nn::Linear(5, 4));
  const Tensor fixed = pair.register_buffer("fixed", torch::randn({3, 5})), x = torch::randn({3, 5});
  const Network network =
      trace(pair, [&] { return main->forward(x) + pair.b->forward(torch::relu(pair.a->forward(fixed))); });
  EXPECT_EQ(chain(network), (Lines{"input -> main.weight -> main", " -> a.weight -> ", " -> b.weight -> "}));
  EXPECT_TRUE(weight(network, "b.weight").bias.is_same(pair.b->bias));
  EXPECT_EQ(reason(network, "aten::addmm"), "it reads no activation");
}

TEST(TraceBarrier, ParametersThatCannotBeMeasuredAreSkipped) {
  Pair pair;
  const Tensor complex = pair.register_parameter("complex", torch::randn({6, 6}, at::kComplexFloat));
  const Tensor whole = pair.register_parameter("whole", torch::ones({6, 6}, at::kInt), false);
  const Tensor sparse = pair.register_parameter("sparse", torch::eye(6).to_sparse(), false);
  const Tensor x = torch::randn({3, 5});
  const std::vector<std::function<Tensor(const Tensor&)>> between = {
      [&](const Tensor& h) { return torch::real(h.to(at::kComplexFloat).matmul(complex)); },
      [&](const Tensor& h) { return h.matmul(whole.to(at::kFloat)); },
      [&](const Tensor& h) { return torch::mm(sparse, h.t()).t(); }};
  for (const auto& layer : between) {
    const Network network = trace(pair, [&] { return pair.b->forward(layer(pair.a->forward(x))); });
    EXPECT_EQ(weight_names(network), (Names{"a.weight", "b.weight"}));
    EXPECT_EQ(node_names(network), (Names{"input", "b"}));
    EXPECT_NE(reason(network, "a").find("which is not measured"), std::string::npos) << network;
    EXPECT_EQ(node_strength(network).size(), 2U);
  }
  EXPECT_EQ(weight_names(walk({{"", pair}})), (Names{"a.weight", "b.weight"}));
}

TEST(TraceBarrier, ASumWithSomethingUnknownIsNotWritten) {
  nn::Linear first(5, 6), a(6, 6), last(6, 6), head(6, 2);
  const Tensor x = torch::randn({3, 5});
  const Network network = trace(NamedModules{{"first", first}, {"a", a}, {"last", last}, {"head", head}}, [&] {
    const Tensor h = first->forward(x).relu();
    return head->forward(last->forward(h.cumsum(1) + a->forward(h)).relu());
  });
  EXPECT_EQ(node_names(network), (Names{"input", "last", "head"}));
  EXPECT_EQ(chain(network), (Lines{"input -> first.weight -> ", " -> a.weight -> ", " -> last.weight -> last",
                                   "last -> head.weight -> head"}));
  EXPECT_EQ(reason(network, "add0"), "it adds what aten::cumsum made");
  EXPECT_NE(reason(network, "first").find("aten::cumsum"), std::string::npos);
}

TEST(TraceBarrier, LayersThatAreNotPlacedKeepTheirWeights) {
  struct Net : nn::Module {
    nn::Bilinear pair{nn::BilinearOptions(5, 5, 4)};
    nn::Linear head{4, 2};
    Net() {
      register_module("pair", pair);
      register_module("head", head);
    }
  } net;
  const Tensor x = torch::randn({3, 5}), y = torch::randn({3, 5});
  const Network network = trace(net, [&] { return net.head->forward(net.pair->forward(x, y)); });
  EXPECT_EQ(weight_names(network), (Names{"pair.weight", "head.weight"}));
  EXPECT_EQ(node_names(network), Names{"head"});
  EXPECT_NE(reason(network, "aten::bilinear"), "");
}

TEST(TraceBarrier, UnusedAndComputedParametersAreNamed) {
  Bag bag;
  const Tensor w = bag.add("w", torch::randn({3, 5})), g = bag.add("g", torch::randn({3, 5}));
  const Tensor idle = bag.add("idle", torch::randn({2, 2})), x = torch::randn({2, 5});
  const Network network = trace(bag, [&] { return x.mm(w.t()) * x.mm((g * torch::rand_like(g)).t()); });
  EXPECT_EQ(weight_names(network), Names{"w"});
  EXPECT_EQ(reason(network, "idle"), "no operator used it in the traced forward pass (on this thread)");
  EXPECT_NE(reason(network, "g").find("to compute another tensor"), std::string::npos) << network;
  EXPECT_EQ(reason(network, "aten::mm"), "its weight is computed from parameters by aten::rand_like, which is random");
}

TEST(TraceOutputs, TuplesVectorsVoidAndDecisions) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  Network network = trace(pair, [&] {
    const Tensor h = pair.a->forward(x);
    return std::make_tuple(pair.b->forward(h), h);
  });
  EXPECT_TRUE(node(network, "a").output);
  EXPECT_TRUE(node(network, "b").output);
  network = trace(pair, [&] { pair.b->forward(pair.a->forward(x)); });
  EXPECT_FALSE(node(network, "a").output);
  EXPECT_TRUE(node(network, "b").output);
  network = trace(pair, [&] { return std::vector<Tensor>{pair.a->forward(x)}; });
  EXPECT_EQ(node_names(network), (Names{"input", "a"}));
  network = trace(pair, [&] { return pair.b->forward(pair.a->forward(x)).argmax(1); });
  EXPECT_EQ(node_names(network), (Names{"input", "a"}));
  EXPECT_NE(reason(network, "output"), "");
  network = trace(pair, [&] {
    return torch::nll_loss(pair.b->forward(pair.a->forward(x)).log_softmax(1), torch::zeros({3}, at::kLong));
  });
  EXPECT_EQ(node_names(network), (Names{"input", "a"}));
  EXPECT_NE(reason(network, "b").find("nll_loss"), std::string::npos) << network;
}

TEST(TraceOutputs, AnUnreadLayerIsNoOutputOfAReturningCallable) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  const Network network = trace(pair, [&] {
    const Tensor h = pair.a->forward(x);
    static_cast<void>(pair.b->forward(h));
    return h;
  });
  EXPECT_FALSE(node(network, "b").output);
  EXPECT_TRUE(node(network, "a").output);
}

TEST(TraceInputs, GivenInputsMakeOtherTensorsConstants) {
  nn::Linear fc(5, 3);
  const Tensor x = torch::randn({2, 5}), mean = torch::randn({5});
  const auto forward = [&] { return fc->forward(x - mean); };
  EXPECT_EQ(node_names(trace(fc, forward)), (Names{"input0", "input1", "add0", "weight"}));
  const Network network = trace(fc, forward, TraceOptions().inputs({x}));
  EXPECT_EQ(chain(network), (Lines{"input -> weight -> weight"}));
  EXPECT_TRUE(network.skipped.empty()) << network;
}

TEST(TraceInputs, AreNumberedAsGiven) {
  nn::Linear a(5, 3), b(4, 3);
  const Tensor x = torch::randn({2, 5}), y = torch::randn({2, 4});
  const Network network = trace(
      NamedModules{{"a", a}, {"b", b}},
      [&] {
        const Tensor first = b->forward(y);
        return std::make_tuple(first, a->forward(x));
      },
      TraceOptions().inputs({x, y}));
  EXPECT_EQ(chain(network), (Lines{"input1 -> b.weight -> b", "input0 -> a.weight -> a"}));
}

TEST(TraceModules, TiedNamesAppearOnceAndFrozenParametersCount) {
  struct Net : nn::Module {
    nn::Linear a{5, 5}, b{5, 5};
    Net() {
      register_module("a", a);
      register_module("again", a);
      register_module("b", b);
      b->weight.set_requires_grad(false);
    }
  } net;
  const Tensor x = torch::randn({2, 5});
  const Network network = trace(net, [&] { return net.b->forward(net.a->forward(x)); });
  EXPECT_EQ(chain(network), (Lines{"input -> a.weight -> a", "a -> b.weight -> b"}));
  ASSERT_EQ(network.parameters.size(), 4U);
  EXPECT_EQ(network.parameters[0].name, "a.weight");
}

TEST(TraceModules, AutocastAndInferenceModeAreSeenThrough) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  Network network = trace(pair, [&] {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const Tensor y = pair.b->forward(pair.a->forward(x).relu());
    at::autocast::set_autocast_enabled(at::kCPU, false);
    return y;
  });
  EXPECT_EQ(chain(network), kPairChain);
  network = trace(pair, [&] {
    const c10::InferenceMode mode;
    return pair.b->forward(pair.a->forward(x).relu_());
  });
  EXPECT_EQ(chain(network), kPairChain);
}

}  // namespace
}  // namespace dynascope::test
