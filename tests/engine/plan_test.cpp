// SPDX-License-Identifier: BSD-3-Clause
#include "engine/plan.hpp"

#include "hand_network.hpp"

#include <dynascope/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace dynascope::test {
namespace {

using engine::Fit;
using engine::Plan;
using engine::PlanOptions;
using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

Network two_layers() {
  return chain({{torch::zeros({3, 2}), torch::zeros({3})}, {torch::zeros({2, 3}), torch::zeros({2})}});
}

TEST(Plan, DescribesLayersAndConnections) {
  const Plan plan(two_layers(), {});
  const RunDescription& description = plan.description();
  ASSERT_EQ(description.node_layers.size(), 3U);
  EXPECT_EQ(description.node_layers[1].name, "h1");
  EXPECT_EQ(description.node_layers[1].stored_shape, std::vector<int64_t>{3});
  EXPECT_EQ(description.node_layers[1].multiplicity, (std::vector<int64_t>{1, 1, 1}));
  ASSERT_EQ(description.weight_layers.size(), 2U);
  EXPECT_EQ(description.weight_layers[0].count, 9);
  EXPECT_EQ(description.weight_layers[0].rows, 0);
  ASSERT_EQ(description.connections.size(), 2U);
  EXPECT_EQ(description.connections[1].source, 1);
  EXPECT_EQ(description.connections[1].target, 2);
  EXPECT_EQ(description.connections[1].link, 1);
}

TEST(Plan, WeightWithoutNodeLayersHasPlainSums) {
  const Plan plan(single_weight(torch::zeros({4, 3, 5, 2})), {});
  EXPECT_EQ(plan.description().weight_layers[0].rows, 4);
  EXPECT_EQ(plan.description().weight_layers[0].columns, 30);
  EXPECT_EQ(plan.layout().at("/links/000_w/column_sum").count, 30);
}

TEST(Plan, UnchangedParametersFit) {
  const Plan plan(two_layers(), {});
  plan.network().weight_layers[0].weight.fill_(3);
  EXPECT_EQ(plan.check(), Fit::kSame);
}

TEST(Plan, MovedParametersAreNoticed) {
  const Plan plan(two_layers(), {});
  at::Tensor weight = plan.network().weight_layers[0].weight;
  weight.set_data(torch::zeros({3, 2}));
  EXPECT_EQ(plan.check(), Fit::kMoved);
}

TEST(Plan, OtherDtypesAndStridesAreMoves) {
  const Plan by_dtype(two_layers(), {});
  at::Tensor bias = by_dtype.network().weight_layers[1].bias;
  bias.set_data(torch::zeros({2}, torch::kDouble));
  EXPECT_EQ(by_dtype.check(), Fit::kMoved);
  const Plan by_stride(two_layers(), {});
  at::Tensor weight = by_stride.network().weight_layers[0].weight;
  weight.as_strided_({3, 2}, {1, 3});
  EXPECT_EQ(by_stride.check(), Fit::kMoved);
}

TEST(Plan, OtherShapesLoseTheGraph) {
  const Plan plan(two_layers(), {});
  at::Tensor weight = plan.network().weight_layers[1].weight;
  weight.set_data(torch::zeros({2, 4}));
  std::string what;
  EXPECT_EQ(plan.check(&what), Fit::kLost);
  EXPECT_THAT(what, HasSubstr("fc2.weight changed its shape from [2, 3] to [2, 4]"));
}

TEST(Plan, MovedParameterIsNoticedBehindAView) {
  at::Tensor parameter = torch::zeros({6, 2});
  Network network = single_weight(parameter.narrow(0, 2, 2));
  network.parameters = {{"in_proj_weight", parameter}};
  const Plan plan(network, {});
  EXPECT_EQ(plan.check(), Fit::kSame);
  parameter.set_data(torch::zeros({6, 2}));
  EXPECT_EQ(plan.check(), Fit::kMoved);
}

TEST(Plan, BiasThatDoesNotCountIsNotWatched) {
  PlanOptions options;
  options.metrics.bias(Bias::kNone);
  const Plan plan(two_layers(), options);
  at::Tensor bias = plan.network().weight_layers[0].bias;
  bias.set_data(torch::zeros({3}));
  EXPECT_EQ(plan.check(), Fit::kSame);
}

TEST(Plan, RefusesWhatItCannotMeasure) {
  EXPECT_THAT(message_of([] {
                Plan(single_weight(torch::zeros({2, 2}, torch::kInt)), {});
              }),
              HasSubstr("got Strided Int for w"));
  EXPECT_THAT(message_of([] { Plan(single_weight(torch::zeros({2, 2}, torch::kComplexFloat)), {}); }), HasSubstr("w"));
  EXPECT_THAT(message_of([] { Plan(single_weight(torch::zeros({2, 2}).to_sparse()), {}); }), HasSubstr("dense"));
  EXPECT_THAT(message_of([] { Plan(single_weight({}), {}); }), HasSubstr("undefined"));
  EXPECT_THAT(message_of([] {
                Network network = two_layers();
                network.weight_layers[1].weight = torch::zeros({2, 3}, torch::device(torch::kMeta));
                Plan(network, {});
              }),
              HasSubstr("must be on one device, got cpu for fc1.weight and meta for fc2.weight"));
}

TEST(Plan, RefusesLinksThatEndNowhere) {
  EXPECT_THAT(message_of([] {
                Network network = two_layers();
                network.node_layers[1].shape = {4};
                Plan(network, {});
              }),
              HasSubstr("links of node layer h1 must end in the 3 outputs of their weight, got number 3"));
  EXPECT_THAT(message_of([] {
                Network network = two_layers();
                network.weight_layers[0].axes = {{5, 5, 3, 1, 1, 1}};
                Plan(network, {});
              }),
              HasSubstr("kernel"));
  EXPECT_THAT(message_of([] {
                Network network = two_layers();
                network.node_layers[1].shape = {3, 7};
                network.weight_layers[0].targets[0].resampling = {{4, 2, std::vector<double>(8, 0.5)}};
                Plan(network, {});
              }),
              HasSubstr("must meet 7 positions on axis 1 of node layer h1, got 2"));
}

TEST(Plan, HistogramEdgesMustFit) {
  PlanOptions options;
  options.histogram = Histogram::kEveryRow;
  options.histogram_bins = 2;
  Plan plan(two_layers(), options);
  EXPECT_THAT(message_of([&] { plan.set_histogram_edges({0, 1, 2}); }), HasSubstr("must be 2 times 3 values, got 3"));
  EXPECT_THAT(message_of([&] { plan.set_histogram_edges({0, 1, 2, 0, 2, 1}); }), HasSubstr("weight layer fc2.weight"));
  EXPECT_THAT(message_of([&] { plan.set_histogram_edges({0, 1, INFINITY, 0, 1, 2}); }), HasSubstr("finite"));
  EXPECT_EQ(plan.edges_version(), 0);
  plan.set_histogram_edges({0, 1, 2, 3, 4, 5});
  EXPECT_EQ(plan.edges_version(), 1);
  EXPECT_EQ(plan.description().histogram_edges.size(), 6U);
  EXPECT_EQ(plan.tables().histogram_edges[5], 5);
  options.histogram_bins = 0;
  EXPECT_THROW(Plan(two_layers(), options), std::invalid_argument);
}

TEST(Plan, ReaderOfTheFlattenedUnitsTellsThemApart) {
  Network network;
  const int32_t input = add_node(network, "input", {1, 6}, Role::kInput);
  const int32_t hidden = add_node(network, "conv", {2, 6});
  const int32_t output = add_node(network, "output", {3}, Role::kOutput);
  add_link(network, "conv.weight", torch::zeros({2, 1, 3}), {}, input, hidden).axes = {{6, 6, 3, 1, 1, 1}};
  add_link(network, "fc.weight", torch::zeros({3, 12}), {}, hidden, output).sources[0].per_unit = true;
  const Plan plan(network, {});
  EXPECT_EQ(plan.description().node_layers[0].stored_shape, (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(plan.description().node_layers[1].stored_shape, (std::vector<int64_t>{2, 6}));
  EXPECT_TRUE(plan.description().node_layers[1].classes[1].empty());
}

}  // namespace
}  // namespace dynascope::test
