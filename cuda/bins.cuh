// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The first pass: the histogram.

#include "device.cuh"

#include <cstddef>

namespace dynascope::DYNASCOPE_DEVICE {

constexpr int kCounters = 1024;  ///< bins that are counted in shared memory

/// The weight layer's bins, counted in shared memory where they fit.
class BinCounter {
 public:
  /// @param shared  (kCounters,), zeroed
  __device__ BinCounter(const engine::Tables& tables, std::byte* row, int64_t link, unsigned* shared)
      : axis_(engine::histogram_axis(tables, link)),
        bins_(tables.histogram_bins + 2),
        shared_(bins_ <= kCounters ? shared : nullptr),
        counts_(reinterpret_cast<unsigned long long*>(row + tables.offsets.histogram) + link * bins_) {}

  __device__ void count(double value) {
    const int64_t bin = engine::bin_of(axis_, value);
    if (bin < 0) {
      return;
    }
    if (shared_ != nullptr) {
      atomicAdd(shared_ + bin, 1U);
    } else {
      atomicAdd(counts_ + bin, 1ULL);
    }
  }

  /// Adds what was counted in shared memory to the row; after a barrier.
  __device__ void finish() {
    for (int64_t bin = threadIdx.x; shared_ != nullptr && bin < bins_; bin += engine::kThreads) {
      if (shared_[bin] != 0) {
        atomicAdd(counts_ + bin, static_cast<unsigned long long>(shared_[bin]));
      }
    }
  }

 private:
  engine::HistogramAxis axis_;
  int64_t bins_;
  unsigned* shared_;
  unsigned long long* counts_;
};

}  // namespace dynascope::DYNASCOPE_DEVICE
