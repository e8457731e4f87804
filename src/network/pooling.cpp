// SPDX-License-Identifier: BSD-3-Clause
#include "pooling.hpp"

#include <algorithm>

namespace dynascope::network {
namespace {

Resampling make(int64_t produced, int64_t seen) {
  return {produced, seen, std::vector<double>(static_cast<size_t>(produced * seen), 0.0)};
}

double& at(Resampling& resampling, int64_t y, int64_t x) {
  return resampling.coefficients[static_cast<size_t>(y * resampling.produced + x)];
}

}  // namespace

int64_t pooled_size(int64_t size, const Window& window) {
  const int64_t span = size + 2 * window.padding - window.dilation * (window.kernel - 1) - 1;
  if (span < 0 && !window.ceil_mode) {
    return 0;
  }
  int64_t output = (span + (window.ceil_mode ? window.stride - 1 : 0)) / window.stride + 1;
  if (window.ceil_mode && (output - 1) * window.stride >= size + window.padding) {
    --output;  // the last window must start inside the tensor or its left padding
  }
  return output;
}

Resampling average_pooling(int64_t size, const Window& window, bool count_include_pad, double divisor) {
  Resampling result = make(size, pooled_size(size, window));
  for (int64_t y = 0; y < result.seen; ++y) {
    const int64_t start = y * window.stride - window.padding;
    const int64_t end = std::min(start + window.kernel, size + window.padding);
    const int64_t first = std::max<int64_t>(start, 0);
    const int64_t last = std::min(end, size);
    const auto cells = static_cast<double>(count_include_pad ? end - start : last - first);
    for (int64_t x = first; x < last; ++x) {
      at(result, y, x) = 1.0 / (divisor != 0 ? divisor : cells);
    }
  }
  return result;
}

Resampling max_pooling(int64_t size, const Window& window) {
  Resampling result = make(size, pooled_size(size, window));
  for (int64_t y = 0; y < result.seen; ++y) {
    int64_t valid = 0;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t tap = 0; tap < window.kernel; ++tap) {
        const int64_t x = y * window.stride - window.padding + tap * window.dilation;
        if (x >= 0 && x < size) {
          if (pass == 0) {
            ++valid;
          } else {
            at(result, y, x) = 1.0 / static_cast<double>(valid);
          }
        }
      }
    }
  }
  return result;
}

Resampling adaptive_pooling(int64_t size, int64_t output) {
  Resampling result = make(size, output);
  for (int64_t y = 0; y < output; ++y) {
    const int64_t first = y * size / output;
    const int64_t last = ((y + 1) * size + output - 1) / output;
    for (int64_t x = first; x < last; ++x) {
      at(result, y, x) = 1.0 / static_cast<double>(last - first);
    }
  }
  return result;
}

}  // namespace dynascope::network
