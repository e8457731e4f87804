// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The order of every addition, for host and device alike (docs/determinism.md). It depends on shapes alone: not on
// strides, threads, instruction sets or devices. Compile with -ffp-contract=off and -fmad=false: a fused multiply-add
// would differ. Every sum is float64 and starts at +0, every set of moments starts empty: runs and lanes that get no
// value may be left out of a fold, they change no bit.
//
// Within a tile, values stand as (rows, lanes) with lane = column * taps + tap:
//   column partial of a lane        rows added in order
//   row partial of (row, tap)       columns c go to run c % kRuns in order; runs are folded
//   moments                         about a shift (the tile's first value; 0 where that is not finite), each lane over
//                                   its rows in order; lanes are folded with join()
// Partials of a matrix (block k goes to run k % kCombineRuns in order; runs are folded). Moments the same way with
// merge(), block k being the k-th tile of the matrix; then those of a weight layer's matrices, in order. Node
// summaries: about the first stored unit's strength, stored unit n goes to lane n % kSummaryLanes in order; lanes are
// folded with join(). fold() halves: run i takes run i + half, for half = count / 2, ..., 1. What is done to single
// values is in arithmetic.hpp.

#include "tables.hpp"

#include <cmath>
#include <limits>

#if defined(__CUDACC__)
#define DYNASCOPE_HD __host__ __device__
#else
#define DYNASCOPE_HD
#endif

namespace dynascope::engine {

constexpr int kTileRows = 64;
constexpr int kTileLanes = 256;
constexpr int kRuns = 8;
constexpr int kCombineRuns = 32;
constexpr int kSummaryLanes = 256;

/// A set of nothing.
DYNASCOPE_HD inline Moments no_moments() {
  return {0, 0, 0.0, 0.0, 0.0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
}

/// Moments of two disjoint sets together (Chan, Golub, LeVeque 1979). Not commutative in its last bits: keep the order.
DYNASCOPE_HD inline Moments merge(const Moments& a, const Moments& b) {
  if (a.count == 0) {
    return b;
  }
  if (b.count == 0) {
    return a;
  }
  const double count_a = static_cast<double>(a.count);
  const double count_b = static_cast<double>(b.count);
  const double count = count_a + count_b;
  const double delta = b.mean - a.mean;
  Moments both;
  both.count = a.count + b.count;
  both.nonfinite = a.nonfinite + b.nonfinite;
  both.mean = a.mean + delta * (count_b / count);
  both.m2 = a.m2 + b.m2 + delta * delta * (count_a * (count_b / count));
  both.abs_sum = a.abs_sum + b.abs_sum;
  both.min = b.min < a.min ? b.min : a.min;
  both.max = b.max > a.max ? b.max : a.max;
  return both;
}

/// Folds `count` (a power of two) values into the first; the host's spelling of the device's shuffles and halvings.
template <typename T, typename Add>
DYNASCOPE_HD inline T fold(T* values, int count, Add add) {
  for (int half = count / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      values[i] = add(values[i], values[i + half]);
    }
  }
  return values[0];
}

/// +0 for -0, the one quiet NaN for every NaN: what may be stored.
DYNASCOPE_HD inline double canonical(double value) {
  return value != value ? std::numeric_limits<double>::quiet_NaN() : value + 0.0;
}
DYNASCOPE_HD inline float canonical(float value) {
  return value != value ? std::numeric_limits<float>::quiet_NaN() : value + 0.0F;
}

}  // namespace dynascope::engine
