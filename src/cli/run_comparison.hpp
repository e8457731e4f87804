// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/run_file.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dynascope::cli {

/// a and b are the same when |a - b| <= absolute + relative * |b|, or they are equal, or both are NaN.
struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

/// The values of one metric in all layers and rows that both runs have.
struct MetricDifference {
  std::string metric;
  int64_t compared = 0;
  int64_t different = 0;
  std::vector<std::string> layers;  ///< where some differ
  double largest = 0;               ///< of |a - b| among those that differ; NaN where one of the two is NaN
  double largest_a = 0;             ///< the two values there
  double largest_b = 0;
  int64_t first_step = 0;  ///< of the first row with a difference
  int64_t first_epoch = 0;
};

/// How two runs differ. Rows are the same row when step and epoch are; layers are the same layer when their names are.
/// When, where and by whom a run was recorded, what it cost, and its events make no difference.
struct RunComparison {
  std::vector<std::string> definitions;           ///< a line per difference in the options and the network
  std::vector<std::pair<int64_t, int64_t>> rows;  ///< common rows: positions in A and B
  RunRows index_a, index_b;                       ///< when the rows of either were taken
  std::vector<int64_t> only_a;
  std::vector<int64_t> only_b;
  std::vector<MetricDifference> metrics;  ///< those that differ

  bool same() const { return definitions.empty() && only_a.empty() && only_b.empty() && metrics.empty(); }
};

/// @param got_on  called after each block of rows
/// @throws Error when one of the files cannot be read
RunComparison compare_runs(const RunFile& a, const RunFile& b, const Tolerance& tolerance,
                           const std::function<void()>& got_on);

}  // namespace dynascope::cli
