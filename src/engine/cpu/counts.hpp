// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "engine/arithmetic.hpp"
#include "engine/cpu/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace dynascope::engine::cpu {

/// Histogram counts of one weight layer after the other, gathered by one thread and added to the row under `mutex`.
class Counts {
 public:
  Counts(const Tables& tables, std::byte* row, std::mutex& mutex);
  ~Counts();
  Counts(const Counts&) = delete;
  Counts& operator=(const Counts&) = delete;

  /// At most kTileLanes values of weight layer `link`; float32 may be read up to the next multiple of kMinima.
  void add(int64_t link, const float* values, int count);
  void add(int64_t link, const double* values, int count);

 private:
  template <typename T>
  void add_slowly(const T* values, int count);
  void turn_to(int64_t link);
  void flush();

  static constexpr int kTables = 4;    // taken in turns: an equal slot need not wait for the last increment
  static constexpr int kWorth = 4096;  // values of a layer before QuickBins and more than one table pay

  const Tables& tables_;
  std::byte* row_;
  std::mutex& mutex_;
  const size_t slots_;
  std::vector<int64_t> counts_;  // (kTables, slots_)
  HistogramAxis axis_{};
  std::optional<QuickBins> quick_;
  int64_t link_ = -1;
  int64_t seen_ = 0;
};

}  // namespace dynascope::engine::cpu
