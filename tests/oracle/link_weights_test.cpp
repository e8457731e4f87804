// SPDX-License-Identifier: BSD-3-Clause
#include "devices.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace oracle {
namespace {

using dynascope::Bias;
using dynascope::LinkWeights;
using dynascope::MetricOptions;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The statistics of docs/metrics.md, section 2, in long double and two passes.
struct Statistics {
  int64_t count = 0, nonfinite = 0;
  double mean = 0, std = 0, min = kNaN, max = kNaN, abs_mean = 0, norm = 0;

  explicit Statistics(const std::vector<double>& values) : count(static_cast<int64_t>(values.size())) {
    long double sum = 0, absolute = 0, squares = 0, deviations = 0;
    for (const double value : values) {
      if (!std::isfinite(value)) {
        ++nonfinite;
        continue;
      }
      sum += value, absolute += std::abs(value), squares += static_cast<long double>(value) * value;
      min = std::isnan(min) ? value : std::min(min, value);
      max = std::isnan(max) ? value : std::max(max, value);
    }
    const auto n = static_cast<long double>(count);
    for (const double value : values) {
      deviations += (value - sum / n) * (value - sum / n);
    }
    const bool spoiled = nonfinite > 0;
    mean = spoiled ? kNaN : static_cast<double>(sum / n);
    std = spoiled ? kNaN : static_cast<double>(std::sqrt(deviations / n));
    abs_mean = spoiled ? kNaN : static_cast<double>(absolute / n);
    norm = spoiled ? kNaN : static_cast<double>(std::sqrt(squares));
  }
};

std::vector<double> entries(const at::Tensor& weight, const at::Tensor& bias, bool with_bias) {
  std::vector<double> values;
  for (const at::Tensor& tensor : {weight, bias}) {
    if (tensor.defined() && (with_bias || tensor.is_same(weight))) {
      const at::Tensor flat = tensor.detach().cpu().to(at::kDouble).contiguous().flatten();
      values.insert(values.end(), flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
    }
  }
  return values;
}

void expect_near(const at::Tensor& got, int64_t layer, double expected, double bound, const char* what) {
  const double value = got.cpu()[layer].item<double>();
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(value)) << what << " " << value;
  } else {
    EXPECT_NEAR(value, expected, bound) << what;
  }
}

void expect_statistics(const LinkWeights& got, int64_t layer, const std::vector<double>& values) {
  const Statistics expected(values);
  EXPECT_EQ(got.count.dtype(), at::kLong);
  EXPECT_TRUE(got.count.is_cpu());
  EXPECT_EQ(got.count[layer].item<int64_t>(), expected.count);
  EXPECT_EQ(got.nonfinite.cpu()[layer].item<int64_t>(), expected.nonfinite);
  expect_near(got.min, layer, expected.min, 0, "min");
  expect_near(got.max, layer, expected.max, 0, "max");
  expect_near(got.mean, layer, expected.mean, 2.4e-7 * expected.abs_mean, "mean");
  expect_near(got.abs_mean, layer, expected.abs_mean, 2.4e-7 * expected.abs_mean, "abs_mean");
  expect_near(got.norm, layer, expected.norm, 2.4e-7 * expected.norm, "norm");
  expect_near(got.std, layer, expected.std, 1e-6 * expected.std + 1e-12 * expected.abs_mean, "std");
}

/// A linear and a convolutional layer with `fill` applied to every parameter.
struct Fixture {
  torch::nn::Sequential model;
  dynascope::Network network;

  Fixture(at::ScalarType dtype, c10::Device device, const std::function<void(at::Tensor&)>& fill)
      : model(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 8, {3, 2}).padding(1)), torch::nn::ReLU(),
              torch::nn::Flatten(), torch::nn::Linear(torch::nn::LinearOptions(8 * 5 * 6, 37)), torch::nn::Tanh(),
              torch::nn::Linear(torch::nn::LinearOptions(37, 1).bias(false))) {
    const at::NoGradGuard guard;
    model->to(dtype);
    for (auto& parameter : model->parameters()) {
      at::Tensor values = at::empty(parameter.sizes(), at::kDouble);
      values.copy_(parameter);
      fill(values);
      parameter.copy_(values);
    }
    model->to(device);
    const at::Tensor x = torch::randn({2, 3, 5, 5}, at::TensorOptions(dtype).device(device));
    network = dynascope::trace(model, [&] { return model->forward(x); });
  }

  void check() {
    ASSERT_EQ(network.weight_layers.size(), 3u) << network;
    const auto parameters = model->parameters();
    const std::vector<std::pair<at::Tensor, at::Tensor>> layers = {
        {parameters[0], parameters[1]}, {parameters[2], parameters[3]}, {parameters[4], {}}};
    for (const Bias bias : {Bias::kIn, Bias::kNone}) {
      const LinkWeights got = dynascope::link_weights(network, MetricOptions().bias(bias));
      for (int64_t i = 0; i < 3; ++i) {
        SCOPED_TRACE(network.weight_layers[static_cast<size_t>(i)].name +
                     (bias == Bias::kIn ? " bias in" : " bias none"));
        const auto& [weight, offset] = layers[static_cast<size_t>(i)];
        expect_statistics(got, i, entries(weight, offset, bias == Bias::kIn));
      }
    }
  }
};

class LinkWeightsOf : public OnDevice {
 protected:
  void check(const std::function<void(at::Tensor&)>& fill,
             std::vector<at::ScalarType> dtypes = {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    for (const at::ScalarType dtype : dtypes) {
      SCOPED_TRACE(c10::toString(dtype));
      torch::manual_seed(77);
      Fixture(dtype, device(), fill).check();
    }
  }
};

TEST_P(LinkWeightsOf, RandomWeightsAreTheirStatistics) {
  check([](at::Tensor& w) { w.normal_(); });
}

TEST_P(LinkWeightsOf, LargeMeanDoesNotHideTheSpread) {
  check([](at::Tensor& w) { w.normal_().mul_(1e-4).add_(1); }, {at::kFloat, at::kDouble});
  check([](at::Tensor& w) { w.normal_().add_(-1e4); }, {at::kFloat, at::kDouble});
}

TEST_P(LinkWeightsOf, ConstantsHaveNoSpread) {
  check([](at::Tensor& w) { w.fill_(0.1); });
  check([](at::Tensor& w) { w.fill_(-3); });
  check([](at::Tensor& w) { w.zero_(); });
}

TEST_P(LinkWeightsOf, HugeAndTinyWeightsNeitherOverflowNorVanish) {
  check([](at::Tensor& w) { w.uniform_(-1, 1).mul_(3e38); }, {at::kFloat});
  check([](at::Tensor& w) { w.fill_(3e38); }, {at::kFloat});
  check([](at::Tensor& w) { w.uniform_(-1, 1).mul_(1e-38); }, {at::kFloat});
  check([](at::Tensor& w) { w.uniform_(-1, 1).mul_(1e-44); }, {at::kFloat});
  check([](at::Tensor& w) { w.uniform_(-1, 1).mul_(1e120); }, {at::kDouble});
  check([](at::Tensor& w) { w.uniform_(-1, 1).mul_(6e4); }, {at::kHalf});
}

TEST_P(LinkWeightsOf, NonFiniteEntriesSpoilMeansButNotExtremes) {
  check([](at::Tensor& w) {
    w.normal_();
    at::Tensor flat = w.view({-1});
    flat[0].fill_(kNaN);
    if (flat.numel() > 5) {
      flat[3].fill_(kInfinity);
      flat[4].fill_(-kInfinity);
    }
  });
}

TEST_P(LinkWeightsOf, WithoutFiniteEntriesThereAreNoExtremes) {
  check([](at::Tensor& w) { w.fill_(kNaN); });
  check([](at::Tensor& w) { w.fill_(-kInfinity); });
}

TEST_P(LinkWeightsOf, BiasAloneCanSpoil) {
  check([](at::Tensor& w) { w.dim() == 1 ? w.fill_(kInfinity) : w.normal_(); });
}

ORACLE_ON_EVERY_DEVICE(LinkWeightsOf);

}  // namespace
}  // namespace oracle
