// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/metric_options.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope {

/// When the link-weight histogram is filled: at epoch ends (row 0 is one), in every row, or never.
enum class Histogram { kEpochEnds, kEveryRow, kOff };

constexpr std::string_view to_string(Histogram value) {
  return value == Histogram::kEpochEnds ? "epoch-ends" : value == Histogram::kEveryRow ? "every-row" : "off";
}

/// Where a node layer stands in the network; an input that is also read as an output is an output.
enum class Role { kInput, kHidden, kOutput };

constexpr std::string_view to_string(Role role) {
  return role == Role::kInput ? "input" : role == Role::kHidden ? "hidden" : "output";
}

/// One node layer of a run: which units it has and how they are stored (docs/run-file.md).
struct NodeLayerInfo {
  std::string name;
  Role role = Role::kHidden;
  std::vector<int64_t> shape;         ///< units per axis, for example {64, 28, 28}
  std::vector<int64_t> stored_shape;  ///< stored values per axis, for example {64, 3, 3}
  /// Per axis of `shape`: coordinate -> class; empty where the axis is not compressed.
  std::vector<std::vector<int32_t>> classes;
  /// (stored units,) units that each stored value stands for.
  std::vector<int64_t> multiplicity;

  /// Number of stored values: the product of `stored_shape`.
  int64_t stored_units() const {
    int64_t units = 1;
    for (const int64_t size : stored_shape) {
      units *= size;
    }
    return units;
  }
};

/// One weight layer of a run.
struct WeightLayerInfo {
  std::string name;
  int64_t count = 0;    ///< entries counted: weights, and biases with bias=in
  int64_t rows = 0;     ///< length of `row_sum`; 0 where a written node layer tells the strengths instead
  int64_t columns = 0;  ///< length of `column_sum`; likewise
};

/// One arrow of the graph: positions in the lists of node and weight layers; `link` is -1 for identity links.
struct ConnectionInfo {
  int32_t source = 0;
  int32_t target = 0;
  int32_t link = -1;
};

/// Something that is not in the graph, and why. What it is can be told: `dynascope info` counts each kind.
struct SkippedInfo {
  std::string name;  ///< of an operator: with "::" in it
  /// Begins with "no operator used it" or "used by " for a parameter in no layer, with "a returned tensor" for an
  /// output that is not reached.
  std::string reason;
};

/// One parameter whose values are recorded (option record_parameters).
struct ParameterInfo {
  std::string name;
  std::vector<int64_t> shape;
  bool float64 = false;  ///< stored as float64; otherwise as float32
};

/// Everything about a run that is known before its first row is written. Plain data, no LibTorch.
struct RunDescription {
  MetricOptions metrics;
  bool components = false;  ///< in_strength and out_strength are stored beside strength
  Histogram histogram = Histogram::kEpochEnds;
  int64_t histogram_bins = 128;
  /// (weight layers, histogram_bins + 1) row-major; empty with Histogram::kOff.
  std::vector<double> histogram_edges;

  std::vector<NodeLayerInfo> node_layers;      ///< execution order
  std::vector<WeightLayerInfo> weight_layers;  ///< execution order
  std::vector<ConnectionInfo> connections;
  std::vector<SkippedInfo> skipped;
  /// Numbers in all parameters of the modules, each counted once, and how many of them weight layers hold (biases with
  /// Bias::kIn); -1: unknown. A file has them in `config`.
  int64_t parameter_count = -1;
  int64_t measured_count = -1;
  std::vector<ParameterInfo> parameters;
  std::vector<std::string> scalars;

  std::string torch_version;
  std::string device;         ///< "cpu", "cuda:0", with the GPU's name where there is one
  std::string backend;        ///< "cpu" or "cuda"
  std::string config = "{}";  ///< JSON: monitor options and the user's hyper-parameters
  std::string title = "Node strengths and layer fluctuations of a training run";
  std::string source = "weights of a neural network in training, measured by dynascope";
};

}  // namespace dynascope
