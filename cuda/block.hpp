// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How much one block does, for the kernels and for the lists of their work.

#include "engine/tree.hpp"

#include <cstdint>

namespace dynascope::engine {

constexpr int kThreads = 256;  ///< of every block: one per lane of a tile and of a summary
constexpr int kWarp = 32;
constexpr int kCopiesPerBlock = 4096;
static_assert(kThreads == kTileLanes && kThreads == kSummaryLanes && kCombineRuns == kWarp);

/// Threads that share one sum of `blocks` partials: runs beyond the last partial hold +0 and may be left out.
DYNASCOPE_HD inline int fold_width(int64_t blocks, int most) {
  int width = 1;
  while (width < most && width < blocks) {
    width *= 2;
  }
  return width;
}

/// Threads per row sum: its partials lie side by side.
DYNASCOPE_HD inline int row_fold_width(const Matrix& matrix) { return fold_width(matrix.column_blocks, kCombineRuns); }

/// Warps per strip of column sums, each with four of the runs; the strip has kThreads / width sums.
DYNASCOPE_HD inline int column_fold_width(const Matrix& matrix) {
  return fold_width(matrix.row_blocks, kCombineRuns / 4);
}

}  // namespace dynascope::engine
