// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace dynascope::monitor {

/// Appends the `bins` + 1 edges of one weight layer's histogram, linear over +-4 times the largest absolute entry, over
/// +-1 where that is 0 or there is none (docs/run-file.md). Symmetric to the last bit.
///
/// @param smallest, largest  of the finite entries; NaN where there are none
inline void append_edges(double smallest, double largest, int64_t bins, std::vector<double>& edges) {
  const double reach = std::max(std::abs(smallest), std::abs(largest));
  const double half = std::numeric_limits<double>::max() / 2;
  const double limit = reach > 0 ? (reach < half / 4 ? 4 * reach : half) : 1.0;  // NaN is not > 0
  for (int64_t i = 0; i <= bins; ++i) {
    edges.push_back(limit * (static_cast<double>(2 * i - bins) / static_cast<double>(bins)));
  }
}

}  // namespace dynascope::monitor
