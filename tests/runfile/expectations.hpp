// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "sample_run.hpp"

#include <dynascope/row_layout.hpp>
#include <dynascope/run_file.hpp>
#include <dynascope/validate.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

namespace dynascope::testing {

inline void expect_same(const NodeLayerInfo& a, const NodeLayerInfo& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.role, b.role) << a.name;
  EXPECT_EQ(a.shape, b.shape) << a.name;
  EXPECT_EQ(a.stored_shape, b.stored_shape) << a.name;
  EXPECT_EQ(a.classes, b.classes) << a.name;
  EXPECT_EQ(a.multiplicity, b.multiplicity) << a.name;
}

inline void expect_same(const RunDescription& a, const RunDescription& b) {
  EXPECT_EQ(a.metrics.bias(), b.metrics.bias());
  EXPECT_EQ(a.metrics.boundary(), b.metrics.boundary());
  EXPECT_EQ(a.metrics.padding(), b.metrics.padding());
  EXPECT_EQ(a.metrics.granularity(), b.metrics.granularity());
  EXPECT_EQ(a.components, b.components);
  EXPECT_EQ(a.histogram, b.histogram);
  EXPECT_EQ(a.histogram_bins, b.histogram_bins);
  EXPECT_EQ(a.histogram_edges, b.histogram_edges);
  ASSERT_EQ(a.node_layers.size(), b.node_layers.size());
  for (size_t i = 0; i < a.node_layers.size(); ++i) {
    expect_same(a.node_layers[i], b.node_layers[i]);
  }
  ASSERT_EQ(a.weight_layers.size(), b.weight_layers.size());
  for (size_t i = 0; i < a.weight_layers.size(); ++i) {
    EXPECT_EQ(a.weight_layers[i].name, b.weight_layers[i].name);
    EXPECT_EQ(a.weight_layers[i].count, b.weight_layers[i].count);
    EXPECT_EQ(a.weight_layers[i].rows, b.weight_layers[i].rows);
    EXPECT_EQ(a.weight_layers[i].columns, b.weight_layers[i].columns);
  }
  ASSERT_EQ(a.connections.size(), b.connections.size());
  for (size_t i = 0; i < a.connections.size(); ++i) {
    EXPECT_EQ(a.connections[i].source, b.connections[i].source);
    EXPECT_EQ(a.connections[i].target, b.connections[i].target);
    EXPECT_EQ(a.connections[i].link, b.connections[i].link);
  }
  ASSERT_EQ(a.skipped.size(), b.skipped.size());
  for (size_t i = 0; i < a.skipped.size(); ++i) {
    EXPECT_EQ(a.skipped[i].name, b.skipped[i].name);
    EXPECT_EQ(a.skipped[i].reason, b.skipped[i].reason);
  }
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    EXPECT_EQ(a.parameters[i].name, b.parameters[i].name);
    EXPECT_EQ(a.parameters[i].shape, b.parameters[i].shape);
    EXPECT_EQ(a.parameters[i].float64, b.parameters[i].float64);
  }
  EXPECT_EQ(a.scalars, b.scalars);
  EXPECT_EQ(a.torch_version, b.torch_version);
  EXPECT_EQ(a.device, b.device);
  EXPECT_EQ(a.backend, b.backend);
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.title, b.title);
  EXPECT_EQ(a.source, b.source);
}

inline bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

/// The file breaks no rule of docs/run-file.md.
inline void expect_valid(const std::string& path) {
  for (const Violation& violation : validate(path)) {
    ADD_FAILURE() << path << ": " << violation.object << ": " << violation.message;
  }
}

/// Every value of the first `rows` rows is the sample's, bit for bit, and there are exactly that many.
inline void expect_sample_rows(const RunFile& file, int64_t rows) {
  ASSERT_EQ(file.rows(), rows);
  const RowLayout layout(file.description());
  const RunRows index = file.row_index();
  ASSERT_EQ(index.step.size(), static_cast<size_t>(rows));
  SampleRows source(file.description(), layout);
  for (int64_t row = 0; row < rows; ++row) {
    const Row expected = source.rows(row, 1)[0];
    const auto at = static_cast<size_t>(row);
    EXPECT_EQ(index.step[at], expected.step);
    EXPECT_EQ(index.epoch[at], expected.epoch);
    EXPECT_EQ(index.epoch_end[at], expected.epoch_end);
    EXPECT_EQ(index.time[at], expected.time);
    EXPECT_EQ(index.snapshot_seconds[at], expected.snapshot_seconds);
    EXPECT_EQ(index.dropped[at], expected.dropped);
    for (size_t i = 0; i < expected.scalars.size(); ++i) {
      EXPECT_TRUE(same_bits(file.scalar(file.description().scalars[i])[at], expected.scalars[i])) << row;
    }
  }
  int64_t wrong = 0;
  for (size_t number = 0; number < layout.spans().size(); ++number) {
    const Span& span = layout.spans()[number];
    const auto values = file.read(span.path, 0, rows);
    ASSERT_EQ(values.size(), static_cast<size_t>(rows * span.count)) << span.path;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < span.count; ++i) {
        const double factor = span.type == RowType::kInt64 ? 16 : 1;
        const double expected = factor * sample_value(row, static_cast<int64_t>(number), i);
        wrong += !same_bits(values[static_cast<size_t>(row * span.count + i)], expected);
      }
    }
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace dynascope::testing
