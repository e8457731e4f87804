// SPDX-License-Identifier: BSD-3-Clause
#include "chain.hpp"
#include "devices.hpp"
#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

namespace oracle {
namespace {

std::vector<std::string> expected_names(const Chain& chain) {
  std::vector<std::string> result{"input"};
  for (const auto& step : chain.steps) {
    result.push_back(step.name);
  }
  return result;
}

class RandomChains : public OnDevice {
 protected:
  void check(uint64_t first, uint64_t count, const std::function<dynascope::Network(Chain&)>& network_of) {
    for (uint64_t seed = first; seed < first + count; ++seed) {
      Chain chain = random_chain(seed);
      chain.model->to(device());
      SCOPED_TRACE(chain.text);
      const dynascope::Network network = network_of(chain);
      ASSERT_EQ(node_names(network), expected_names(chain)) << network;
      ASSERT_TRUE(network.skipped.empty()) << network.skipped[0].name << ": " << network.skipped[0].reason;
      for (const auto& options : all_options()) {
        expect_strengths(chain, network, options);
      }
      if (HasFailure()) {
        return;  // one chain tells enough
      }
    }
  }
};

TEST_P(RandomChains, TracedHaveTheStrengthsOfTheDefinition) { check(1000, 240, trace); }
TEST_P(RandomChains, BuiltByHandHaveTheStrengthsOfTheDefinition) { check(8000, 120, build); }

ORACLE_ON_EVERY_DEVICE(RandomChains);

/// docs/metrics.md, section 3: what a weight layer gives out is what it gives in.
TEST(WeightLayer, GivesAsMuchOutStrengthAsInStrength) {
  const auto options = dynascope::MetricOptions().bias(dynascope::Bias::kNone).boundary(dynascope::Boundary::kZero);
  for (uint64_t seed = 5000; seed < 5150; ++seed) {
    Chain chain = random_single_layer(seed);
    SCOPED_TRACE(chain.text);
    const dynascope::Network network = trace(chain);
    ASSERT_EQ(network.node_layers.size(), 2u) << network;
    const auto stored = dynascope::node_strength(network, options);
    const auto infos = dynascope::node_layer_info(network, options);
    const auto magnitude = strengths(chain, options, magnitudes());
    double sums[2];
    for (size_t i = 0; i < 2; ++i) {
      const at::Tensor multiplicity = at::tensor(infos[i].multiplicity);
      // A node layer without a position axis stands for each of its positions.
      const int64_t units = magnitude.in[i].numel(), known = multiplicity.sum().item<int64_t>();
      ASSERT_EQ(units % known, 0);
      sums[i] = (stored[i].to(at::kDouble) * multiplicity).sum().item<double>() * static_cast<double>(units / known);
    }
    EXPECT_NEAR(sums[0], sums[1], 1e-6 * (1 + magnitude.in[1].sum().item<double>()));
    if (HasFailure()) {
      return;
    }
  }
}

}  // namespace
}  // namespace oracle
