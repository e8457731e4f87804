// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/population_file.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/sink.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

// Runs that no network was trained for: every value follows from its row, dataset and position, so that readers in
// other processes and languages can say what must be there.
namespace dynascope::testing {

/// Value at `position` of the `span`-th span in row `row`: exact in float32, distinct for neighbours.
inline double sample_value(int64_t row, int64_t span, int64_t position) {
  return static_cast<double>(row * 4096 + span * 64 + position % 64) / 16.0;
}

class SampleRows {
 public:
  SampleRows(const RunDescription& description, RowLayout layout)
      : scalars_(description.scalars.size()), layout_(std::move(layout)) {}

  const RowLayout& layout() const { return layout_; }

  /// Row number `row`; two rows per epoch, the second of them its end.
  Row row(int64_t row) {
    blocks_.emplace_back(static_cast<size_t>(layout_.bytes()));
    for (size_t i = 0; i < layout_.spans().size(); ++i) {
      fill(layout_.spans()[i], row, static_cast<int64_t>(i));
    }
    Row result;
    result.step = row * 10;
    result.epoch = (row + 1) / 2;
    result.epoch_end = row % 2 == 0;
    result.time = 0.5 * static_cast<double>(row);
    result.snapshot_seconds = 0.001 * static_cast<double>(row);
    result.dropped = row % 3;
    for (size_t i = 0; i < scalars_; ++i) {
      result.scalars.push_back(row % 2 == 0 ? static_cast<double>(row) + 0.25 * static_cast<double>(i)
                                            : std::numeric_limits<double>::quiet_NaN());
    }
    result.values = blocks_.back().data();
    return result;
  }

  /// Rows `first` to `first + count - 1`, valid until the next call.
  std::vector<Row> rows(int64_t first, int64_t count) {
    blocks_.clear();
    std::vector<Row> result;
    for (int64_t i = 0; i < count; ++i) {
      result.push_back(row(first + i));
    }
    return result;
  }

 private:
  void fill(const Span& span, int64_t row, int64_t number) {
    std::byte* to = blocks_.back().data() + span.offset;
    for (int64_t i = 0; i < span.count; ++i) {
      const double value = sample_value(row, number, i);
      switch (span.type) {
        case RowType::kFloat32:
          store(to, i, static_cast<float>(value));
          break;
        case RowType::kFloat64:
          store(to, i, value);
          break;
        case RowType::kInt64:
          store(to, i, static_cast<int64_t>(value * 16));
          break;
      }
    }
  }

  template <class T>
  static void store(std::byte* to, int64_t position, T value) {
    std::memcpy(to + static_cast<size_t>(position) * sizeof value, &value, sizeof value);
  }

  size_t scalars_;
  RowLayout layout_;
  std::vector<std::vector<std::byte>> blocks_;
};

/// Members of a population: three epochs of one net after the other, the blocks and scalars those of sample rows.
inline std::vector<Member> sample_members(SampleRows& source, int64_t first, int64_t count) {
  std::vector<Member> members;
  for (const Row& row : source.rows(first, count)) {
    const int64_t number = first + static_cast<int64_t>(members.size());
    members.push_back({number / 3, number % 3 + 1, 10 * (number % 3 + 1), 1000 + number / 3, row.scalars, row.values});
  }
  return members;
}

inline NodeLayerInfo plain_layer(const std::string& name, Role role, int64_t units) {
  return {name, role, {units}, {units}, {{}}, std::vector<int64_t>(static_cast<size_t>(units), 1)};
}

inline std::vector<double> sample_edges(size_t links, int64_t bins) {
  std::vector<double> edges;
  for (size_t link = 0; link < links; ++link) {
    for (int64_t edge = 0; edge <= bins; ++edge) {
      edges.push_back((static_cast<double>(link) + 1) *
                      (2.0 * static_cast<double>(edge) / static_cast<double>(bins) - 1));
    }
  }
  return edges;
}

inline void sample_provenance(RunDescription& run) {
  run.torch_version = "2.11.0";
  run.device = "cpu";
  run.backend = "cpu";
  run.config = R"({"learning_rate": 0.1})";
  run.title = "A sample – no training";
  run.source = "sample_run.hpp";
}

/// A small fully connected network with components and a "/" in a name.
inline RunDescription mlp_run() {
  RunDescription run;
  run.components = true;
  run.histogram_bins = 8;
  run.node_layers = {plain_layer("input", Role::kInput, 6), plain_layer("block/fc1", Role::kHidden, 4),
                     plain_layer("fc2", Role::kOutput, 3)};
  run.weight_layers = {{"block/fc1.weight", 28, 0, 0}, {"fc2.weight", 15, 0, 0}, {"alone.weight", 10, 5, 2}};
  run.connections = {{0, 1, 0}, {1, 2, 1}, {0, 2, -1}};
  run.skipped = {{"custom_op", "mixes units in a way that is not understood"}, {"alone", "its input is not followed"}};
  run.parameters = {{"block/fc1.weight", {4, 6}, false}, {"fc2.bias", {3}, true}, {"temperature", {}, false}};
  run.scalars = {"loss", "accuracy", "reward/mean"};
  run.histogram_edges = sample_edges(run.weight_layers.size(), run.histogram_bins);
  sample_provenance(run);
  return run;
}

/// A convolution with classes on both position axes.
inline RunDescription conv_run() {
  RunDescription run;
  run.metrics = MetricOptions().bias(Bias::kNone).boundary(Boundary::kZero).padding(Padding::kAllTaps);
  run.histogram = Histogram::kOff;
  NodeLayerInfo conv{"conv1", Role::kHidden, {2, 5, 4}, {2, 3, 2}, {{}, {0, 1, 1, 1, 2}, {0, 1, 1, 0}}, {}};
  for (int64_t channel = 0; channel < 2; ++channel) {
    for (const int64_t rows : {1, 3, 1}) {
      conv.multiplicity.insert(conv.multiplicity.end(), {rows * 2, rows * 2});
    }
  }
  run.node_layers = {conv, plain_layer("fc", Role::kOutput, 10)};
  run.weight_layers = {{"fc.weight", 400, 0, 0}};
  run.connections = {{0, 1, 0}};
  run.scalars = {"loss"};
  sample_provenance(run);
  return run;
}

/// What the members of a population have in common: the network of mlp_run.
inline RunDescription sample_population() {
  RunDescription population = mlp_run();
  population.histogram = Histogram::kEveryRow;
  population.parameters = {};
  population.scalars = {"accuracy", "loss", "test/error"};
  return population;
}

/// Nothing in any list.
inline RunDescription empty_run() {
  RunDescription run;
  run.histogram_bins = 4;
  run.node_layers = {};
  sample_provenance(run);
  return run;
}

}  // namespace dynascope::testing
