// SPDX-License-Identifier: BSD-3-Clause
#include "population/initialiser.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace examples {
namespace {

constexpr double kEverywhere = std::numeric_limits<double>::infinity();
// Of a normal distribution cut at two standard deviations: its own deviation, in those of the uncut one.
const double kOfCut = std::sqrt(1 - 4 * std::exp(-2.0) / std::sqrt(2 * M_PI) / std::erf(std::sqrt(2.0)));

struct Expected {
  double deviation;
  double bound;
};

// From the definitions: `scale`, and the number of inputs and of outputs of a unit.
Expected expected(const std::string& name, double scale, double in, double out) {
  if (name == "normal") {
    return {scale, kEverywhere};
  }
  if (name == "uniform") {
    return {scale / std::sqrt(3.0), scale};
  }
  if (name == "truncated-normal") {
    return {scale * kOfCut, 2 * scale};
  }
  const std::string fan = name.substr(name.rfind("fan-"));
  const double n = fan == "fan-in" ? in : fan == "fan-out" ? out : (in + out) / 2;
  const double deviation = std::sqrt(scale / n);
  return {deviation, name.find("uniform") != std::string::npos ? std::sqrt(3.0) * deviation : 2 * deviation / kOfCut};
}

class InitialiserTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void expect_moments(std::vector<int64_t> shape, double in, double out) {
    const std::string& name = initialiser_names()[static_cast<size_t>(GetParam())];
    SCOPED_TRACE(name + " of shape " + c10::str(shape));
    for (const double scale : {0.05, 0.5, 5.0}) {
      at::Generator generator = at::detail::createCPUGenerator(11);
      const at::Tensor weights = at::empty(shape);
      initialise(weights, GetParam(), scale, generator);
      const auto [deviation, bound] = expected(name, scale, in, out);
      const auto count = static_cast<double>(weights.numel());
      const at::Tensor exact = weights.to(at::kDouble);
      EXPECT_LT(std::abs(exact.mean().item<double>()), 5 * deviation / std::sqrt(count));
      EXPECT_NEAR(exact.std(false).item<double>() / deviation, 1, 5 / std::sqrt(2 * count)) << scale;
      const double largest = exact.abs().max().item<double>();
      EXPECT_LE(largest, bound * (1 + 1e-6));
      EXPECT_GE(largest, std::isinf(bound) ? 3.5 * deviation : 0.99 * bound);
    }
  }
};

TEST_P(InitialiserTest, LinearWeightsHaveTheRightMomentsAndBounds) { expect_moments({300, 400}, 400, 300); }

TEST_P(InitialiserTest, ConvolutionsCountTheirTaps) { expect_moments({100, 150, 3, 3}, 1350, 900); }

TEST_P(InitialiserTest, BiasesHaveTheirLengthForEitherFan) { expect_moments({60000}, 60000, 60000); }

TEST_P(InitialiserTest, SeedDecides) {
  const auto drawn = [](uint64_t seed) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    const at::Tensor weights = at::empty({20, 30});
    initialise(weights, GetParam(), 0.5, generator);
    return weights;
  };
  EXPECT_TRUE(drawn(3).equal(drawn(3)));
  EXPECT_FALSE(drawn(3).equal(drawn(4)));
}

INSTANTIATE_TEST_SUITE_P(All, InitialiserTest, ::testing::Range(int64_t{0}, int64_t{9}), [](const auto& test) {
  std::string name = initialiser_names()[static_cast<size_t>(test.param)];
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace examples
