// SPDX-License-Identifier: BSD-3-Clause
#include "hand_network.hpp"

#include <dynascope/error.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/network_builder.hpp>

#include <gmock/gmock.h>
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

/// The parameters of a network with a padded convolution, pooling and a flattened reader, and their network.
Network convolutional(const std::vector<NamedParameter>& parameters) {
  const auto at = [&](size_t i) { return parameters[i].value; };
  NetworkBuilder builder;
  auto x = builder.input("input", {2, 6, 6});
  x = builder.convolution("conv", x, at(0), at(1), ConvolutionOptions().padding({1}));
  x = builder.max_pool(x, PoolingOptions({2}));
  builder.output(builder.linear("fc", x, at(2), at(3)));
  return builder.build();
}

std::vector<NamedParameter> random_parameters(uint64_t seed, at::ScalarType dtype) {
  torch::manual_seed(seed);
  std::vector<NamedParameter> parameters = {{"conv.weight", torch::randn({3, 2, 3, 3})},
                                            {"conv.bias", torch::randn({3})},
                                            {"fc.weight", torch::randn({5, 27})},
                                            {"fc.bias", torch::randn({5})}};
  for (NamedParameter& parameter : parameters) {
    parameter.value = parameter.value.to(dtype);
  }
  return parameters;
}

TEST(Metrics, StackedNetworksHaveTheBitsOfEachAlone) {
  constexpr int64_t kReplicas = 300;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    SCOPED_TRACE(c10::toString(dtype));
    std::vector<std::vector<NamedParameter>> alone;
    for (int64_t replica = 0; replica < kReplicas; ++replica) {
      alone.push_back(random_parameters(static_cast<uint64_t>(replica), dtype));
    }
    std::vector<NamedParameter> stacked = alone[0];
    for (size_t i = 0; i < stacked.size(); ++i) {
      std::vector<at::Tensor> values;
      for (const auto& parameters : alone) {
        values.push_back(parameters[i].value);
      }
      stacked[i].value = torch::stack(values);
    }
    const Network all = with_parameters(convolutional(alone[0]), stacked);
    const std::vector<at::Tensor> strengths = node_strength(all);
    const at::Tensor fluctuation = layer_fluctuation(all);
    const LinkWeights links = link_weights(all);
    ASSERT_EQ(strengths.size(), 3U);
    ASSERT_EQ(fluctuation.sizes(), (std::vector<int64_t>{kReplicas, 3}));
    ASSERT_EQ(links.std.sizes(), (std::vector<int64_t>{kReplicas, 2}));
    EXPECT_EQ(node_layer_info(all)[1].stored_shape, node_layer_info(convolutional(alone[0]))[1].stored_shape);
    for (int64_t replica = 0; replica < kReplicas; replica += 37) {
      const Network one = convolutional(alone[static_cast<size_t>(replica)]);
      const std::vector<at::Tensor> expected = node_strength(one);
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_TRUE(torch::equal(strengths[i][replica], expected[i])) << "replica " << replica << " layer " << i;
      }
      EXPECT_TRUE(torch::equal(fluctuation[replica], layer_fluctuation(one)));
      EXPECT_TRUE(torch::equal(links.std[replica], link_weights(one).std));
      EXPECT_TRUE(torch::equal(links.count, link_weights(one).count));
    }
  }
}

TEST(Metrics, OtherParametersMayBeOneSet) {
  const std::vector<NamedParameter> a = random_parameters(1, at::kFloat);
  const std::vector<NamedParameter> b = random_parameters(2, at::kFloat);
  EXPECT_TRUE(
      torch::equal(layer_fluctuation(with_parameters(convolutional(a), b)), layer_fluctuation(convolutional(b))));
}

TEST(Metrics, ParametersThatDoNotFitAreNamed) {
  const std::vector<NamedParameter> parameters = random_parameters(1, at::kFloat);
  const Network network = convolutional(parameters);
  const auto error = [&](std::vector<NamedParameter> others) -> std::string {
    try {
      layer_fluctuation(with_parameters(network, others));
    } catch (const Error& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_THAT(error({}), testing::HasSubstr("conv.weight"));
  auto wrong = parameters;
  wrong[2].value = torch::randn({5, 26});
  EXPECT_THAT(error(wrong), testing::AllOf(testing::HasSubstr("fc.weight"), testing::HasSubstr("[5, 27]"),
                                           testing::HasSubstr("[5, 26]")));
  auto mixed = parameters;
  mixed[2].value = torch::randn({4, 5, 27});
  EXPECT_THAT(error(mixed), testing::HasSubstr("replica"));
}

}  // namespace
}  // namespace dynascope::test
