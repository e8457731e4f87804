// SPDX-License-Identifier: BSD-3-Clause
// Wrong, odd and unlucky forward passes: what is thrown, what is said, and what still works afterwards.
#include "network_test.hpp"

#include <dynascope/error.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

struct Pair : nn::Module {
  nn::Linear a{5, 6}, b{6, 4};
  Pair() {
    register_module("a", a);
    register_module("b", b);
  }
  Tensor forward(const Tensor& x) { return b->forward(a->forward(x)); }
};

const Lines kPairChain = {"input -> a.weight -> a", "a -> b.weight -> b"};

/// What the Error of `action` says; fails without one.
std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no dynascope::Error";
  return "";
}

bool says(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

TEST(WrongInput, AForwardThatThrowsThrowsItsOwnError) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  EXPECT_THROW(trace(pair, [&]() -> Tensor { throw std::out_of_range("mine"); }), std::out_of_range);
  EXPECT_THROW(trace(pair, [&] { return pair.a->forward(torch::randn({3, 4})); }), c10::Error);
  EXPECT_EQ(chain(trace(pair, [&] { return pair.forward(x); })), kPairChain) << "the next trace works";
}

TEST(WrongInput, AForwardThatUsesNothingIsAnError) {
  Pair pair;
  nn::ReLU nothing;
  const Tensor x = torch::randn({3, 5});
  EXPECT_TRUE(says(message([&] { trace(pair, [] {}); }), "it used none of its 4"));
  EXPECT_TRUE(says(message([&] { trace(pair, [&] { return x.relu(); }); }), "it used none of its 4"));
  EXPECT_TRUE(says(message([&] { trace(nothing, [&] { return x.relu(); }); }), "must have parameters, got none"));
  EXPECT_TRUE(says(message([&] { trace(std::shared_ptr<Pair>(), [&] { return x; }); }), "must not be null"));
}

TEST(WrongInput, AModuleThatNoPointerOwnsIsTraced) {
  struct Outer : nn::Module {
    Pair inner;  // a plain member: register_module() could not take it
    Tensor scale = register_parameter("scale", torch::ones({4}));
  } outer;
  const Tensor x = torch::randn({3, 5});
  EXPECT_EQ(chain(trace(outer.inner, [&] { return outer.inner.forward(x) * outer.scale; })), kPairChain);
  // Of `outer` the inner parameters are no parameters: nothing of it can be seen, and that is said.
  const std::string error = message([&] { trace(outer, [&] { return outer.inner.forward(x); }); });
  EXPECT_TRUE(says(error, "it used none of its 1")) << error;
}

TEST(WrongInput, OfABranchThatDataDecidesOnlyTheOneThatRanIsThere) {
  Pair pair;
  nn::Linear other(5, 4);
  pair.register_module("other", other);
  const auto forward = [&](const Tensor& x) {
    return (x > 0).all().item<bool>() ? pair.forward(x) : other->forward(x);
  };
  const Network positive = trace(pair, [&] { return forward(torch::ones({3, 5})); });
  EXPECT_EQ(chain(positive), kPairChain);
  EXPECT_TRUE(says(reason(positive, "other.weight"), "no operator used it"));
  const Network negative = trace(pair, [&] { return forward(-torch::ones({3, 5})); });
  EXPECT_EQ(chain(negative), Lines{"input -> other.weight -> other"});
  EXPECT_TRUE(says(reason(negative, "a.weight"), "no operator used it"));
  // What the decision is made of may be no predicate: then the units that went into it are not written, and why is
  // said.
  const Network summed = trace(pair, [&] {
    const Tensor h = pair.a->forward(torch::ones({3, 5}));
    return h.sum().item<float>() > 1e9 ? h : pair.b->forward(h);
  });
  EXPECT_EQ(node_names(summed), (Names{"input", "b"}));
  EXPECT_TRUE(says(reason(summed, "a"), "aten::sum")) << summed;
}

TEST(WrongInput, WhatRunsOnAnotherThreadIsNotSeenAndNotGuessed) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  const auto elsewhere = [](const std::function<Tensor()>& function) {
    Tensor result;
    std::thread thread([&] {
      const torch::NoGradGuard no_grad;
      result = function();
    });
    thread.join();
    return result;
  };
  const std::string error = message([&] { trace(pair, [&] { return elsewhere([&] { return pair.forward(x); }); }); });
  EXPECT_TRUE(says(error, "run it on the calling thread")) << error;

  const Network half = trace(pair, [&] { return pair.b->forward(elsewhere([&] { return pair.a->forward(x); })); });
  EXPECT_EQ(chain(half), Lines{"input -> b.weight -> b"}) << "what b reads comes from outside, as far as can be seen";
  EXPECT_TRUE(says(reason(half, "a.weight"), "(on this thread)")) << half;
}

TEST(WrongInput, RegisteredTwiceIsThereOnce) {
  struct Twice : nn::Module {
    nn::Linear fc{5, 5};
    Twice() {
      register_module("one", fc);
      register_module("two", fc);
    }
  } twice;
  const Tensor x = torch::randn({3, 5});
  const Network network = trace(twice, [&] { return twice.fc->forward(x); });
  EXPECT_EQ(chain(network), Lines{"input -> one.weight -> one"});
  EXPECT_EQ(network.parameters.size(), 2U);
  EXPECT_TRUE(network.skipped.empty()) << network;

  Pair pair;
  const Network both = trace(NamedModules{{"x", pair}, {"y", pair}}, [&] { return pair.forward(x); });
  EXPECT_EQ(weight_names(both), (Names{"x.a.weight", "x.b.weight"}));
  Pair other;
  const std::string error = message([&] {
    trace(NamedModules{{"x", pair}, {"x", other}}, [&] { return pair.forward(x); });
  });
  EXPECT_TRUE(says(error, "got two called \"x\"")) << error;
}

/// Run files promise it (SkippedInfo), and `dynascope info` reads it.
TEST(WrongInput, ReasonsTellParametersOutputsAndOperatorsApart) {
  Pair pair;
  pair.register_parameter("idle", torch::ones({2}));
  const Tensor made = pair.register_parameter("made", torch::ones({4, 4}));
  const Tensor x = torch::randn({3, 5});
  const Network network = trace(pair, [&] {
    const Tensor y = pair.forward(x).cumsum(1);
    return std::vector<Tensor>{y, y.mm(made * torch::rand({4, 4})), torch::ones({3}), y.argmax(1)};
  });
  for (const std::string output : {"output0", "output1", "output2", "output3"}) {
    EXPECT_EQ(reason(network, output).rfind("a returned tensor", 0), 0U) << network;
  }
  EXPECT_EQ(reason(network, "idle").rfind("no operator used it", 0), 0U) << network;
  EXPECT_EQ(reason(network, "made").rfind("used by ", 0), 0U) << network;
  EXPECT_NE(reason(network, "aten::cumsum"), "") << network;
  EXPECT_NE(reason(network, "aten::mm"), "") << network;
}

TEST(WrongInput, OutputsThatAreNotReachedAreNamed) {
  Pair pair;
  const Tensor x = torch::randn({3, 5});
  const Network network = trace(pair, [&] {
    const Tensor y = pair.forward(x);
    return std::vector<Tensor>{y, y.cumsum(1), torch::ones({3}), y.argmax(1)};
  });
  EXPECT_TRUE(says(reason(network, "output1"), "made by aten::cumsum")) << network;
  EXPECT_TRUE(says(reason(network, "output2"), "made of no activation")) << network;
  EXPECT_TRUE(says(reason(network, "output3"), "a decision")) << network;
  EXPECT_EQ(reason(network, "output0"), "");
}

}  // namespace
}  // namespace dynascope::test
