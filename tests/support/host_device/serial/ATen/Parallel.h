// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Stands in for LibTorch's header where the engine's passes are compiled without LibTorch: one thread.

#include <cstdint>

namespace at {

inline int get_num_threads() { return 1; }

template <typename Function>
void parallel_for(int64_t begin, int64_t end, int64_t /*grain*/, const Function& function) {
  if (begin < end) {
    function(begin, end);
  }
}

}  // namespace at
