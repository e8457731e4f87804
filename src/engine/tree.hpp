// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The order of every addition, for host and device alike (docs/determinism.md). It depends on shapes and dtypes alone:
// not on strides, threads, instruction sets or devices. Compile with -ffp-contract=off and -fmad=false: a fused
// multiply-add would differ. fold() halves: value i takes value i + half, for half = count / 2, ..., 1, over a power of
// two of values; values that are missing count as +0, and leaving them out changes no bit of what is stored.
//
// Within a tile, values stand as (rows, lanes) with lane = column * taps + tap. Rows fall into runs of kRunRows. Short
// sums of at most eight values are float32, everything else is float64:
//   lane            the rows of a run are folded (short), runs are added in order; so for the values (the column
//                   partial), their squares and their magnitudes
//   row partial     of (row, tap): columns are folded, the first kShortLevels halvings short, the rest float64
//   moments         the three sums of the lanes are folded; moments_of_plain() tells mean and m2 from them
// That is accurate for nearly all tiles, and is_plain() knows for which. The others (values that are not finite, that
// overflow or underflow when squared, or whose mean hides their spread) are added once more, in the same order, with
// short sums in float64 too, and with moments about a shift, the tile's first value (0 where that is not finite).
// Tiles of float64 are always added like that.
//
// Partials of a matrix (block k goes to run k % kCombineRuns in order; runs are folded), in float64. Moments the same
// way with merge(), block k being the k-th tile of the matrix; then those of a weight layer's matrices, in order. Node
// summaries: stored units fall into blocks of kSummaryUnits; in a block, about the strength of its first unit, unit n
// goes to lane n % kSummaryLanes in order, lanes are folded with join(); moments of blocks meet like those of tiles.
// What is done to single values is in arithmetic.hpp.
//
// Why this shape. A lane of a warp's 128-bit loads, or of a vector register, keeps its eight rows in registers, so the
// folds cost eight additions per eight values and one conversion; columns of a row meet by halves because neighbouring
// lanes then belong to one register, or to lanes of a warp that shuffles reach. Three short levels err by at most
// 3 * 2^-24 of the sum of magnitudes (Higham 1993, pairwise summation), and exactly nothing on constants.

#include "tables.hpp"

#include <cmath>
#include <limits>

#if defined(__CUDACC__)
#define DYNASCOPE_HD __host__ __device__
#else
#define DYNASCOPE_HD
#endif

namespace dynascope::engine {

constexpr int kTileRows = 64;       ///< of a tile of a small matrix
constexpr int kTallTileRows = 256;  ///< of a matrix from kTallMatrix elements on: fewer partials
constexpr int64_t kTallMatrix = int64_t{1} << 22;
constexpr int kTileLanes = 256;
constexpr int kRunRows = 8;
constexpr int kShortLevels = 3;
constexpr int kCombineRuns = 32;
constexpr int kSummaryLanes = 256;
constexpr int kSummaryUnits = 4096;

/// Rows of a full tile of `matrix`.
DYNASCOPE_HD inline int64_t tile_rows(const Matrix& matrix) {
  return matrix.rows * matrix.columns * matrix.taps < kTallMatrix ? kTileRows : kTallTileRows;
}

/// Columns of a full tile: tiles of a matrix are about equally wide, and start at multiples of 16 bytes where rows do.
DYNASCOPE_HD inline int64_t tile_columns(const Matrix& matrix) {
  int64_t most = matrix.taps > 0 ? kTileLanes / matrix.taps : kTileLanes;
  most = most < 1 ? 1 : most;
  const int64_t step = matrix.taps == 1 ? 32 : most < 8 ? 1 : 8;
  most -= most % step;
  const int64_t blocks = (matrix.columns + most - 1) / most;
  const int64_t width = blocks > 0 ? (matrix.columns + blocks - 1) / blocks : 1;
  return (width + step - 1) / step * step;
}

/// The smallest power of two that is not below `count`: over how many values fold() runs.
DYNASCOPE_HD inline int fold_count(int count) {
  int power = 1;
  while (power < count) {
    power *= 2;
  }
  return power;
}

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

/// How many of the kCombineRuns runs `count` partials use, as a power of two; the others are left out of the fold.
inline int runs_of(int64_t count) { return count < kCombineRuns ? fold_count(static_cast<int>(count)) : kCombineRuns; }

/// Moments of `count` disjoint sets together, in the order of a matrix' tiles or a node layer's blocks.
inline Moments combine_moments(const Moments* moments, int64_t count) {
  Moments runs[kCombineRuns];
  const int used = runs_of(count);
  for (int run = 0; run < used; ++run) {
    runs[run] = run < count ? moments[run] : no_moments();
  }
  for (int64_t k = kCombineRuns; k < count; ++k) {
    runs[k % kCombineRuns] = merge(runs[k % kCombineRuns], moments[k]);
  }
  return fold(runs, used, merge);
}

/// +0 for -0, the one quiet NaN for every NaN: what may be stored.
DYNASCOPE_HD inline double canonical(double value) {
  return value != value ? std::numeric_limits<double>::quiet_NaN() : value + 0.0;
}
DYNASCOPE_HD inline float canonical(float value) {
  return value != value ? std::numeric_limits<float>::quiet_NaN() : value + 0.0F;
}

}  // namespace dynascope::engine
