// SPDX-License-Identifier: BSD-3-Clause
#include "chain.hpp"
#include "devices.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace oracle {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Puts a NaN or Inf into a few entries of the chain's weights and biases.
void poison(Chain& chain, std::mt19937_64& random) {
  const at::NoGradGuard guard;
  const double values[] = {kNaN, kInfinity, -kInfinity, -kNaN};
  for (int n = 1 + static_cast<int>(random() % 3); n > 0; --n) {
    const Step& step = chain.steps[random() % chain.steps.size()];
    const bool bias = step.bias.defined() && random() % 4 == 0;
    at::Tensor entries = (bias ? step.bias : step.weight).detach().view({-1});
    entries[static_cast<int64_t>(random() % static_cast<uint64_t>(entries.numel()))].fill_(values[random() % 4]);
  }
}

template <typename Float, typename Bits>
Bits bits(Float value) {
  Bits result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

class NonFinite : public OnDevice {};

TEST_P(NonFinite, WeightsSpoilExactlyTheNodesThatTheyLink) {
  for (uint64_t seed = 2000; seed < 2120; ++seed) {
    Chain chain = random_chain(seed);
    std::mt19937_64 random(seed);
    poison(chain, random);
    chain.model->to(device());
    SCOPED_TRACE(chain.text);
    const at::Tensor x = chain.example();
    const auto network = dynascope::trace(chain.model, [&] { return chain.model->forward(x); });
    ASSERT_EQ(network.node_layers.size(), chain.steps.size() + 1) << network;
    for (const auto& options : all_options()) {
      SCOPED_TRACE(text(options));
      const auto hit = total(strengths(chain, options, nonfinite()));
      const auto finite = total(strengths(chain, options, finite_part()));
      const auto magnitude =
          total(strengths(chain, options, {[](const at::Tensor& w) { return finite_part().value(w).abs(); }, 1}));
      const auto stored = dynascope::node_strength(network, options);
      const auto infos = dynascope::node_layer_info(network, options);
      const at::Tensor fluctuation = dynascope::layer_fluctuation(network, options).cpu();
      for (size_t i = 0; i < hit.size(); ++i) {
        SCOPED_TRACE(infos[i].name);
        const at::Tensor got = spread(expand(infos[i], stored[i]), hit[i]);
        ASSERT_TRUE(got.defined());
        const at::Tensor spoiled = hit[i].flatten() > 0;
        EXPECT_TRUE(at::equal(got.isfinite().logical_not(), spoiled)) << got << "\nexpected " << spoiled;
        const at::Tensor difference = (got - finite[i].flatten()).abs() / (1e-6 * (1 + magnitude[i].flatten()));
        EXPECT_LE(at::where(spoiled, at::zeros_like(difference), difference).max().item<double>(), 1);
        EXPECT_EQ(std::isnan(fluctuation[static_cast<int64_t>(i)].item<double>()), spoiled.any().item<bool>());
      }
      if (HasFailure()) {
        return;
      }
    }
  }
}

TEST_P(NonFinite, TapOnPaddingIsNotReadByTheUnitsWhoseWindowLacksIt) {
  torch::nn::Sequential model(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 2, 3).padding(1)));
  {
    const at::NoGradGuard guard;
    model->parameters()[0][1][0][0][2].fill_(kNaN);  // channel 1: row above, column to the right
  }
  model->to(device());
  const at::Tensor x = torch::zeros({1, 1, 4, 5}, device());
  const auto network = dynascope::trace(model, [&] { return model->forward(x); });
  const auto infos = dynascope::node_layer_info(network);
  const at::Tensor output = expand(infos[1], dynascope::node_strength(network)[1]).isfinite();
  at::Tensor expected = at::ones({2, 4, 5}, at::kBool);
  expected.select(0, 1).slice(0, 1).slice(1, 0, 4).fill_(false);
  EXPECT_TRUE(at::equal(output, expected)) << output;
  const auto paper = dynascope::MetricOptions::paper();
  const at::Tensor all_taps =
      expand(dynascope::node_layer_info(network, paper)[1], dynascope::node_strength(network, paper)[1]).isfinite();
  EXPECT_TRUE(all_taps[0].all().item<bool>());
  EXPECT_FALSE(all_taps[1].any().item<bool>());
  // An input unit has the link unless the output unit that would read it by that tap is outside.
  const at::Tensor input = expand(infos[0], dynascope::node_strength(network)[0]).isfinite();
  at::Tensor expected_input = at::ones({1, 4, 5}, at::kBool);
  expected_input[0].slice(0, 0, 3).slice(1, 1).fill_(false);
  EXPECT_TRUE(at::equal(input, expected_input)) << input;
}

TEST_P(NonFinite, EveryNaNIsTheCanonicalQuietNaN) {
  torch::nn::Sequential model(torch::nn::Linear(3, 2), torch::nn::Linear(2, 2));
  {
    const at::NoGradGuard guard;
    const int32_t odd_pattern = static_cast<int32_t>(0xffc12345u);
    float odd;
    std::memcpy(&odd, &odd_pattern, sizeof odd);
    model->parameters()[0].fill_(0);
    std::memcpy(model->parameters()[0].data_ptr<float>(), &odd, sizeof odd);
    model->parameters()[2][1][0].fill_(kInfinity);
    model->parameters()[2][1][1].fill_(-kInfinity);
  }
  model->to(device());
  const at::Tensor x = torch::zeros({1, 3}, device());
  const auto network = dynascope::trace(model, [&] { return model->forward(x); });
  int seen = 0;
  for (const at::Tensor& layer : dynascope::node_strength(network)) {
    const at::Tensor values = layer.cpu();
    for (int64_t i = 0; i < values.numel(); ++i) {
      const float value = values.data_ptr<float>()[i];
      if (std::isnan(value)) {
        ++seen;
        EXPECT_EQ((bits<float, uint32_t>(value)), 0x7fc00000u);
      }
    }
  }
  EXPECT_GE(seen, 2);
  const auto links = dynascope::link_weights(network);
  const at::Tensor fluctuation = dynascope::layer_fluctuation(network);
  for (const at::Tensor& statistics : {links.mean, links.std, links.abs_mean, links.norm, fluctuation}) {
    for (const double value : std::vector<double>(statistics.cpu().data_ptr<double>(),
                                                  statistics.cpu().data_ptr<double>() + statistics.numel())) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_EQ((bits<double, uint64_t>(value)), 0x7ff8000000000000ull);
    }
  }
}

TEST_P(NonFinite, NegativeZeroIsStoredAsZero) {
  torch::nn::Sequential model(torch::nn::Linear(3, 2), torch::nn::Linear(torch::nn::LinearOptions(2, 2).bias(false)));
  {
    const at::NoGradGuard guard;
    for (auto& parameter : model->parameters()) {
      parameter.fill_(-0.0);
    }
  }
  model->to(device());
  const at::Tensor x = torch::zeros({1, 3}, device());
  const auto network = dynascope::trace(model, [&] { return model->forward(x); });
  for (const auto& options : all_options()) {
    for (const at::Tensor& layer : dynascope::node_strength(network, options)) {
      EXPECT_FALSE(layer.signbit().any().item<bool>()) << text(options);
    }
  }
  const auto links = dynascope::link_weights(network);
  for (const at::Tensor& statistics : {links.mean, links.std, links.min, links.max, links.abs_mean, links.norm}) {
    EXPECT_FALSE(statistics.signbit().any().item<bool>()) << statistics;
  }
}

ORACLE_ON_EVERY_DEVICE(NonFinite);

}  // namespace
}  // namespace oracle
