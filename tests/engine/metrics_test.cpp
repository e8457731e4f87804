// SPDX-License-Identifier: BSD-3-Clause
#include "hand_network.hpp"

#include <dynascope/metrics.hpp>

#include <gtest/gtest.h>

namespace dynascope::test {
namespace {

// The 2-3-2 network of golden_test.cpp.
Network mlp() {
  return chain({{tensor({1, 2, 3, -4, 0.5, 0}, {3, 2}), tensor({0.5, -1, 2}, {3})},
                {tensor({1, -1, 2, 0, 3, -2}, {2, 3}), tensor({1, -1}, {2})}});
}

TEST(Metrics, NodeStrengthIsOneTensorPerNodeLayer) {
  const std::vector<at::Tensor> strengths = node_strength(mlp());
  ASSERT_EQ(strengths.size(), 3U);
  EXPECT_EQ(strengths[1].scalar_type(), at::kFloat);
  EXPECT_TRUE(torch::equal(strengths[1], torch::tensor({4.5F, 0.0F, 2.5F})));
}

TEST(Metrics, NodeStrengthReadsTheParametersAsTheyAreNow) {
  const Network network = mlp();
  network.weight_layers[0].weight.zero_();
  EXPECT_TRUE(torch::equal(node_strength(network)[0], torch::tensor({1.0F, 1.0F})));
}

TEST(Metrics, LayerFluctuationIsFloat64) {
  const at::Tensor fluctuation = layer_fluctuation(mlp());
  EXPECT_EQ(fluctuation.scalar_type(), at::kDouble);
  EXPECT_TRUE(torch::allclose(fluctuation, torch::tensor({3.25, std::sqrt(61.0 / 18.0), 1.5}, torch::kDouble)));
}

TEST(Metrics, LinkWeightsCountBiasesWhereTheyCount) {
  const LinkWeights with = link_weights(mlp());
  const LinkWeights without = link_weights(mlp(), MetricOptions().bias(Bias::kNone));
  EXPECT_TRUE(torch::equal(with.count, torch::tensor({int64_t{9}, int64_t{8}})));
  EXPECT_TRUE(torch::equal(without.count, torch::tensor({int64_t{6}, int64_t{6}})));
  EXPECT_DOUBLE_EQ(with.mean[0].item<double>(), 4.0 / 9.0);
  EXPECT_DOUBLE_EQ(without.mean[0].item<double>(), 2.5 / 6.0);
  EXPECT_EQ(with.nonfinite.scalar_type(), at::kLong);
}

TEST(Metrics, NodeLayerInfoTellsHowToExpand) {
  const std::vector<NodeLayerInfo> info = node_layer_info(mlp());
  ASSERT_EQ(info.size(), 3U);
  EXPECT_EQ(info[0].role, Role::kInput);
  EXPECT_EQ(info[1].stored_shape, std::vector<int64_t>{3});
}

TEST(Metrics, NetworkWithoutAnythingHasNoMetrics) {
  EXPECT_TRUE(node_strength(Network()).empty());
  EXPECT_EQ(layer_fluctuation(Network()).numel(), 0);
  EXPECT_EQ(link_weights(Network()).mean.numel(), 0);
}

}  // namespace
}  // namespace dynascope::test
