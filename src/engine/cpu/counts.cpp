// SPDX-License-Identifier: BSD-3-Clause
#include "engine/cpu/counts.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace dynascope::engine::cpu {
namespace {

// Bins that float32 arithmetic can tell apart but for a part of a thousandth at their edges; nothing where it cannot.
std::optional<QuickBins> quick_bins(const HistogramAxis& axis) {
  const auto bins = static_cast<double>(axis.bins);
  const double width = (axis.high - axis.low) / bins;
  const auto low = static_cast<float>(axis.low);
  const auto scale = static_cast<float>(axis.scale);
  if (!std::isnormal(scale) || !is_finite(static_cast<double>(low))) {
    return std::nullopt;
  }
  double slack = 0;
  for (int64_t i = 0; i <= axis.bins; ++i) {
    slack = std::fmax(slack, std::fabs(axis.edges[i] - (axis.low + static_cast<double>(i) * width)) * axis.scale);
  }
  // Roundings: of low and scale, of the difference, the product and the sum, each of at most bins + 1.
  constexpr double kRounding = std::numeric_limits<float>::epsilon();
  slack += kRounding * (std::fabs(axis.low) * axis.scale + 4 * (bins + 1));
  if (!(slack < 1e-3)) {
    return std::nullopt;
  }
  return QuickBins{low, scale, static_cast<float>(slack), static_cast<int>(axis.bins)};
}

}  // namespace

Counts::Counts(const Tables& tables, std::byte* row, std::mutex& mutex)
    : tables_(tables),
      row_(row),
      mutex_(mutex),
      slots_(static_cast<size_t>(tables.histogram_bins) + 2),
      counts_(kTables * slots_) {}

Counts::~Counts() { flush(); }

void Counts::add(int64_t link, const float* values, int count) {
  turn_to(link);
  if (seen_ < kWorth && seen_ + count >= kWorth) {
    quick_ = quick_bins(axis_);
  }
  seen_ += count;
  if (!quick_) {
    add_slowly(values, count);
    return;
  }
  int32_t slots[kTileLanes + kMinima];
  kernels().find_bins(values, count, *quick_, slots);
  for (int i = 0; i < count; ++i) {
    const int64_t slot = slots[i] >= 0 ? slots[i] : bin_of(axis_, static_cast<double>(values[i]));
    if (slot >= 0) {
      ++counts_[static_cast<size_t>(i % kTables) * slots_ + static_cast<size_t>(slot)];
    }
  }
}

void Counts::add(int64_t link, const double* values, int count) {
  turn_to(link);
  add_slowly(values, count);
}

template <typename T>
void Counts::add_slowly(const T* values, int count) {
  for (int i = 0; i < count; ++i) {
    const int64_t slot = bin_of(axis_, static_cast<double>(values[i]));
    if (slot >= 0) {
      ++counts_[static_cast<size_t>(slot)];
    }
  }
}

void Counts::turn_to(int64_t link) {
  if (link != link_) {
    flush();
    link_ = link;
    axis_ = histogram_axis(tables_, link);
    quick_.reset();
    seen_ = 0;
  }
}

void Counts::flush() {
  if (link_ < 0) {
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  auto* sums = reinterpret_cast<int64_t*>(row_ + tables_.offsets.histogram) + link_ * static_cast<int64_t>(slots_);
  for (size_t i = 0; i < (quick_ ? kTables : 1) * slots_; ++i) {
    sums[i % slots_] += std::exchange(counts_[i], 0);
  }
}

}  // namespace dynascope::engine::cpu
