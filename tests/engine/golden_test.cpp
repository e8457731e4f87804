// SPDX-License-Identifier: BSD-3-Clause

// Two networks small enough to be checked on paper.

#include "hand_network.hpp"
#include "support/backends.hpp"

#include <cmath>
#include <vector>

namespace dynascope::test {
namespace {

using engine::Plan;
using engine::PlanOptions;
using Values = std::vector<double>;

class Golden : public OnBackend {};

PlanOptions with(const MetricOptions& metrics) {
  PlanOptions options;
  options.metrics = metrics;
  options.components = true;
  return options;
}

// 2-3-2:
//   fc1 = | 1    2  |  b1 = |  0.5 |      fc2 = | 1  -1   2 |  b2 = |  1 |
//         | 3   -4  |       | -1   |            | 0   3  -2 |       | -1 |
//         | 0.5  0  |       |  2   |
//
//            in (row sums + b)   out (column sums)   strength
//   input    1, 1                4.5, -2             5.5, -1
//   h1       3.5, -2, 2.5        1, 2, 0             4.5, 0, 2.5
//   output   3, 0                1, 1                4, 1
//
// Fluctuations: input |5.5 + 1| / 2 = 3.25; h1: mean 7/3, mean square 26.5/3, so sqrt(53/6 - 49/9) = sqrt(61/18);
// output 1.5.
Network mlp(at::Device device) {
  return chain(
      {{tensor({1, 2, 3, -4, 0.5, 0}, {3, 2}, at::kFloat).to(device), tensor({0.5, -1, 2}, {3}, at::kFloat).to(device)},
       {tensor({1, -1, 2, 0, 3, -2}, {2, 3}, at::kFloat).to(device), tensor({1, -1}, {2}, at::kFloat).to(device)}});
}

TEST_P(Golden, MlpStrengthsAreThoseOnPaper) {
  const Plan plan(mlp(device()), with({}));
  const auto row = measure(plan);
  EXPECT_EQ(values(plan, row, "/nodes/000_input/strength"), (Values{5.5, -1}));
  EXPECT_EQ(values(plan, row, "/nodes/001_h1/strength"), (Values{4.5, 0, 2.5}));
  EXPECT_EQ(values(plan, row, "/nodes/001_h1/in_strength"), (Values{3.5, -2, 2.5}));
  EXPECT_EQ(values(plan, row, "/nodes/001_h1/out_strength"), (Values{1, 2, 0}));
  EXPECT_EQ(values(plan, row, "/nodes/002_output/strength"), (Values{4, 1}));
  const Values fluctuation = values(plan, row, "/nodes/fluctuation");
  EXPECT_DOUBLE_EQ(fluctuation[0], 3.25);
  EXPECT_DOUBLE_EQ(fluctuation[1], std::sqrt(61.0 / 18.0));
  EXPECT_DOUBLE_EQ(fluctuation[2], 1.5);
  EXPECT_DOUBLE_EQ(values(plan, row, "/nodes/strength_mean")[1], 7.0 / 3.0);
  EXPECT_EQ(values(plan, row, "/nodes/strength_min"), (Values{-1, 0, 1}));
  EXPECT_EQ(values(plan, row, "/nodes/strength_max"), (Values{5.5, 4.5, 4}));
  EXPECT_EQ(values(plan, row, "/nodes/nonfinite"), (Values{0, 0, 0}));
}

TEST_P(Golden, MlpOptionsLeaveOutWhatTheySay) {
  const Plan zero(mlp(device()), with(MetricOptions().boundary(Boundary::kZero)));
  auto row = measure(zero);
  EXPECT_EQ(values(zero, row, "/nodes/000_input/strength"), (Values{4.5, -2}));
  EXPECT_EQ(values(zero, row, "/nodes/002_output/strength"), (Values{3, 0}));
  const Plan unbiased(mlp(device()), with(MetricOptions().bias(Bias::kNone)));
  row = measure(unbiased);
  EXPECT_EQ(values(unbiased, row, "/nodes/001_h1/strength"), (Values{4, 1, 0.5}));
  EXPECT_EQ(values(unbiased, row, "/nodes/002_output/strength"), (Values{3, 2}));
  EXPECT_EQ(unbiased.description().weight_layers[0].count, 6);
}

// fc1 with its bias: 9 entries, sum 4, absolute sum 14, squares 35.5.
TEST_P(Golden, MlpLinkWeightsAreThoseOnPaper) {
  const Plan plan(mlp(device()), with({}));
  const auto row = measure(plan);
  EXPECT_EQ(plan.description().weight_layers[0].count, 9);
  EXPECT_DOUBLE_EQ(values(plan, row, "/links/mean")[0], 4.0 / 9.0);
  EXPECT_DOUBLE_EQ(values(plan, row, "/links/std")[0], std::sqrt(35.5 / 9.0 - 16.0 / 81.0));
  EXPECT_DOUBLE_EQ(values(plan, row, "/links/abs_mean")[0], 14.0 / 9.0);
  EXPECT_DOUBLE_EQ(values(plan, row, "/links/norm")[0], std::sqrt(35.5));
  EXPECT_EQ(values(plan, row, "/links/min")[0], -4);
  EXPECT_EQ(values(plan, row, "/links/max")[0], 3);
}

// One channel of 5x5 to one of 5x5, bias 0.5:   K = | 1 2 3 |   stride 1, padding 1.
//                                                   | 4 5 6 |
//                                                   | 7 8 9 |
// An output at the upper border has no upper row of taps, and so on; inputs have it the other way round (an input at
// the upper border is never under the lowest row of taps). Coordinates 1 to 3 are alike: three classes per axis.
//
//   in, true edges   28  39  24     out   12  21  16
//                    33  45  27           27  45  33
//                    16  21  12           24  39  28
//
// strength: output = in + 0.5 + 1, input = 1 + out. Mean of the output over its 25 units:
// 1.5 + (28 + 3*39 + 24 + 3*33 + 9*45 + 3*27 + 16 + 3*21 + 12) / 25 = 1.5 + 845 / 25 = 35.3.
Network convolution(at::Device device) {
  Network network;
  const int32_t input = add_node(network, "input", {1, 5, 5}, Role::kInput);
  const int32_t output = add_node(network, "output", {1, 5, 5}, Role::kOutput);
  WeightLayer& layer =
      add_link(network, "conv.weight", tensor({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 3, 3}, at::kFloat).to(device),
               tensor({0.5}, {1}, at::kFloat).to(device), input, output);
  layer.axes = {{5, 5, 3, 1, 1, 1}, {5, 5, 3, 1, 1, 1}};
  return network;
}

TEST_P(Golden, ConvolutionWithTrueEdges) {
  const Plan plan(convolution(device()), with({}));
  const auto row = measure(plan);
  const NodeLayerInfo& output = plan.description().node_layers[1];
  EXPECT_EQ(output.shape, (std::vector<int64_t>{1, 5, 5}));
  EXPECT_EQ(output.stored_shape, (std::vector<int64_t>{1, 3, 3}));
  EXPECT_EQ(output.classes[2], (std::vector<int32_t>{0, 1, 1, 1, 2}));
  EXPECT_EQ(output.multiplicity, (std::vector<int64_t>{1, 3, 1, 3, 9, 3, 1, 3, 1}));
  EXPECT_EQ(values(plan, row, "/nodes/000_input/strength"), (Values{13, 22, 17, 28, 46, 34, 25, 40, 29}));
  EXPECT_EQ(values(plan, row, "/nodes/001_output/strength"),
            (Values{29.5, 40.5, 25.5, 34.5, 46.5, 28.5, 17.5, 22.5, 13.5}));
  EXPECT_DOUBLE_EQ(values(plan, row, "/nodes/strength_mean")[1], 35.3);
}

TEST_P(Golden, ConvolutionWithAllTapsHasOneClassOfOutputs) {
  const Plan plan(convolution(device()), with(MetricOptions::paper()));
  const auto row = measure(plan);
  EXPECT_EQ(plan.description().node_layers[1].stored_shape, (std::vector<int64_t>{1, 1, 1}));
  EXPECT_EQ(plan.description().node_layers[1].multiplicity, (std::vector<int64_t>{25}));
  EXPECT_EQ(values(plan, row, "/nodes/001_output/strength"), (Values{46.5}));
  EXPECT_EQ(values(plan, row, "/nodes/fluctuation")[1], 0.0);
  EXPECT_EQ(values(plan, row, "/nodes/000_input/strength"), (Values{13, 22, 17, 28, 46, 34, 25, 40, 29}));
}

TEST_P(Golden, ConvolutionByChannelCountsEachWeightOnce) {
  const Plan plan(convolution(device()), with(MetricOptions().granularity(Granularity::kChannel)));
  const auto row = measure(plan);
  EXPECT_EQ(plan.description().node_layers[1].shape, (std::vector<int64_t>{1}));
  EXPECT_EQ(values(plan, row, "/nodes/000_input/strength"), (Values{46}));
  EXPECT_EQ(values(plan, row, "/nodes/001_output/strength"), (Values{46.5}));
}

DYNASCOPE_ON_EVERY_BACKEND(Golden);

}  // namespace
}  // namespace dynascope::test
