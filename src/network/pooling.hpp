// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Coefficients of pooling along one axis (docs/metrics.md, section 1, rule 3). Windows of several axes are products.

#include <dynascope/network.hpp>

#include <cstdint>

namespace dynascope::network {

struct Window {
  int64_t kernel = 1, stride = 1, padding = 0, dilation = 1;
  bool ceil_mode = false;
};

/// Coordinates that a window makes of `size`, as torch counts them.
int64_t pooled_size(int64_t size, const Window& window);

/// Average over the window: divided by its size with or without padding, or by `divisor` where that is not 0.
Resampling average_pooling(int64_t size, const Window& window, bool count_include_pad, double divisor = 0);

/// Uniform over the window clipped to valid cells.
Resampling max_pooling(int64_t size, const Window& window);

/// Even over the windows of adaptive pooling.
Resampling adaptive_pooling(int64_t size, int64_t output);

}  // namespace dynascope::network
