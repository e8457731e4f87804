// SPDX-License-Identifier: BSD-3-Clause
#include "sample_run.hpp"

#include <dynascope/error.hpp>
#include <dynascope/memory_sink.hpp>
#include <dynascope/row_layout.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace dynascope {
namespace {

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(RowLayoutTest, SpansFollowEachOtherInThePathsOfTheRunFile) {
  const RowLayout layout(testing::mlp_run());
  std::vector<std::string> paths;
  int64_t end = 0;
  for (const Span& span : layout.spans()) {
    paths.push_back(span.path);
    EXPECT_EQ(span.offset % 8, 0) << span.path;
    EXPECT_GE(span.offset, end) << span.path;
    EXPECT_LT(span.offset, end + 8) << span.path;
    end = span.offset + span.count * size_of(span.type);
    EXPECT_EQ(layout.find(span.path), &span);
  }
  EXPECT_EQ(layout.bytes(), (end + 7) / 8 * 8);
  const std::vector<std::string> expected = {
      "/nodes/fluctuation",
      "/nodes/strength_mean",
      "/nodes/strength_min",
      "/nodes/strength_max",
      "/nodes/nonfinite",
      "/nodes/000_input/strength",
      "/nodes/000_input/in_strength",
      "/nodes/000_input/out_strength",
      "/nodes/001_block%2Ffc1/strength",
      "/nodes/001_block%2Ffc1/in_strength",
      "/nodes/001_block%2Ffc1/out_strength",
      "/nodes/002_fc2/strength",
      "/nodes/002_fc2/in_strength",
      "/nodes/002_fc2/out_strength",
      "/links/mean",
      "/links/std",
      "/links/min",
      "/links/max",
      "/links/abs_mean",
      "/links/norm",
      "/links/nonfinite",
      "/links/histogram",
      "/links/002_alone.weight/row_sum",
      "/links/002_alone.weight/column_sum",
      "/parameters/block%2Ffc1.weight",
      "/parameters/fc2.bias",
      "/parameters/temperature",
  };
  EXPECT_EQ(paths, expected);
}

TEST(RowLayoutTest, TypesAndShapesAreThoseOfTheRunFile) {
  const RowLayout layout(testing::mlp_run());
  EXPECT_EQ(layout.at("/nodes/fluctuation").type, RowType::kFloat64);
  EXPECT_EQ(layout.at("/nodes/nonfinite").type, RowType::kInt64);
  EXPECT_EQ(layout.at("/nodes/000_input/strength").type, RowType::kFloat32);
  EXPECT_EQ(layout.at("/nodes/000_input/strength").shape, std::vector<int64_t>{6});
  EXPECT_EQ(layout.at("/links/histogram").type, RowType::kInt64);
  EXPECT_EQ(layout.at("/links/histogram").shape, (std::vector<int64_t>{3, 10}));
  EXPECT_EQ(layout.at("/parameters/fc2.bias").type, RowType::kFloat64);
  EXPECT_EQ(layout.at("/parameters/temperature").count, 1);
}

TEST(RowLayoutTest, OptionsThatAreOffTakeNoRoom) {
  const RowLayout layout(testing::conv_run());
  EXPECT_EQ(layout.find("/links/histogram"), nullptr);
  EXPECT_EQ(layout.find("/nodes/000_conv1/in_strength"), nullptr);
  EXPECT_EQ(layout.at("/nodes/000_conv1/strength").shape, std::vector<int64_t>{12});
}

TEST(RowLayoutTest, UnknownPathNamesThePath) {
  const RowLayout layout(testing::mlp_run());
  EXPECT_NE(error_of([&] { layout.at("/nodes/nothing"); }).find("/nodes/nothing"), std::string::npos);
}

TEST(RowLayoutTest, TwoParametersOfOneNameAreAnError) {
  RunDescription run;
  run.parameters = {{"a/b", {1}, false}, {"a%2Fb", {1}, false}};
  EXPECT_NE(error_of([&] { RowLayout layout(run); }).find("/parameters/a%2Fb"), std::string::npos);
}

TEST(RowLayoutTest, ShapesOutOfBoundsAreAnError) {
  RunDescription run;
  run.parameters = {{"w", {int64_t{1} << 40, int64_t{1} << 40}, false}};
  EXPECT_NE(error_of([&] { RowLayout layout(run); }).find("/parameters/w"), std::string::npos);
  run.parameters = {{"w", {-1}, false}};
  EXPECT_NE(error_of([&] { RowLayout layout(run); }).find("-1"), std::string::npos);
}

TEST(LayerPathTest, PositionsArePaddedToTheLongest) {
  EXPECT_EQ(node_layer_path(3, 12, "layer1.0.conv2"), "/nodes/003_layer1.0.conv2");
  EXPECT_EQ(weight_layer_path(0, 1, "fc1.weight"), "/links/000_fc1.weight");
  EXPECT_EQ(node_layer_path(7, 1000, "x"), "/nodes/007_x");
  EXPECT_EQ(node_layer_path(7, 1001, "x"), "/nodes/0007_x");
  EXPECT_EQ(node_layer_path(1, 2, "a/b/c"), "/nodes/001_a%2Fb%2Fc");
}

TEST(MemorySinkTest, KeepsRowsAfterTheirBlocksAreGone) {
  const RunDescription run = testing::mlp_run();
  MemorySink sink;
  {
    testing::SampleRows source(run, RowLayout(run));
    sink.open(run, source.layout());
    sink.write(source.rows(0, 2));
    sink.write(source.rows(2, 1));
  }
  sink.write(Event{7, 0.5, EventCode::kReplanned, 1, "moved"});
  ASSERT_EQ(sink.rows().size(), 3U);
  ASSERT_EQ(sink.events().size(), 1U);
  EXPECT_EQ(sink.rows()[2].step, 20);
  for (int64_t row = 0; row < 3; ++row) {
    for (size_t number = 0; number < sink.layout().spans().size(); ++number) {
      const Span& span = sink.layout().spans()[number];
      const auto values = sink.values(static_cast<size_t>(row), span.path);
      ASSERT_EQ(values.size(), static_cast<size_t>(span.count));
      for (int64_t i = 0; i < span.count; ++i) {
        const double factor = span.type == RowType::kInt64 ? 16 : 1;
        EXPECT_EQ(values[static_cast<size_t>(i)], factor * testing::sample_value(row, static_cast<int64_t>(number), i));
      }
    }
  }
  EXPECT_THROW(sink.values(3, "/nodes/fluctuation"), Error);
  EXPECT_THROW(sink.values(0, "/nodes/nothing"), Error);
}

}  // namespace
}  // namespace dynascope
