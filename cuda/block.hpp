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

/// Blocks of threads for `count` sums of `partials` each: warps that share a sum have four of its runs each.
DYNASCOPE_HD inline int64_t strips_of(int64_t count, int64_t partials) {
  const int64_t strip = kThreads / fold_width(partials, kCombineRuns / 4);
  return (count + strip - 1) / strip;
}

}  // namespace dynascope::engine
