// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "tables.hpp"

#include <dynascope/metric_options.hpp>
#include <dynascope/network.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace dynascope::engine {

/// What a plan measures beside the metrics themselves.
struct PlanOptions {
  MetricOptions metrics;
  bool components = false;
  Histogram histogram = Histogram::kOff;
  int64_t histogram_bins = 128;
  bool record_parameters = false;
  /// Stored types of recorded parameters by name, for a plan compiled again in the middle of a run; a parameter that is
  /// not named is stored as float64 when it is one, otherwise as float32.
  std::vector<ParameterInfo> stored;
};

/// Whether the parameters still are what the plan was compiled for.
enum class Fit {
  kSame,
  kMoved,  ///< another pointer, stride, dtype or device, same shapes: compile again
  kLost,   ///< another shape: the graph no longer holds
};

/// A Network compiled into flat arrays (tables.hpp) for one backend to run, and the description of what a row then
/// holds.
///
/// Host work only; reads no parameter values. Holds the network's tensors alive.
class Plan {
 public:
  /// @throws Error when parameters are on different devices, or of a dtype that cannot be measured (says which)
  Plan(Network network, PlanOptions options);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const Network& network() const noexcept { return network_; }
  const PlanOptions& options() const noexcept { return options_; }

  /// Layers, connections, skipped, parameters, metric options; the rest (scalars, config, device) is the monitor's.
  const RunDescription& description() const noexcept { return description_; }
  const RowLayout& layout() const noexcept { return layout_; }
  const at::Device& device() const noexcept { return device_; }

  /// Tables in host memory; `workspace` and `moments` are null, sizes below.
  const Tables& tables() const noexcept { return tables_; }
  int64_t workspace_doubles() const noexcept { return workspace_doubles_; }

  /// Sets the histogram's edges, (weight layers, bins + 1) row-major, from then on part of the tables and of the
  /// description.
  /// @throws std::invalid_argument when they are of another number, not finite, or descend
  void set_histogram_edges(std::vector<double> edges);

  /// How often the edges were set: tells a backend with a copy of its own that it is out of date.
  int64_t edges_version() const noexcept { return edges_version_; }

  /// Compares every traced parameter with what was compiled: the whole host cost of a steady step.
  /// @param what  unless kSame, receives which parameter changed from what to what
  Fit check(std::string* what = nullptr) const;

 private:
  friend class PlanCompiler;

  struct Watched {
    at::Tensor tensor;
    std::string name;
    const void* data;
    std::vector<int64_t> sizes, strides;
    at::ScalarType dtype;
    at::Device device;
  };

  Network network_;
  PlanOptions options_;
  RunDescription description_;
  RowLayout layout_;
  at::Device device_ = at::kCPU;
  Tables tables_{};
  int64_t workspace_doubles_ = 0;
  int64_t edges_version_ = 0;

  std::vector<Matrix> matrices_;
  std::vector<Tile> tiles_;
  std::vector<LinkPlan> links_;
  std::vector<NodePlan> nodes_;
  std::vector<Term> terms_;
  std::vector<double> coefficients_;
  std::vector<int64_t> indices_;
  std::vector<double> histogram_edges_;
  std::vector<Copy> copies_;
  std::vector<Watched> watched_;
};

}  // namespace dynascope::engine
