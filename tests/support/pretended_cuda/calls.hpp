// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace dynascope::test {

/// Calls of the CUDA runtime that one thread made of the pretended device (pretended_cuda.cpp).
struct CudaCalls {
  int64_t launches = 0;     ///< of kernels
  int64_t waits = 0;        ///< for a stream, an event, the device, or by a copy that comes back when it is done
  int64_t allocations = 0;  ///< of memory, on the device and pinned, and their ends
  int64_t to_device = 0;    ///< copies
  int64_t to_host = 0;
  int64_t other_copies = 0;
  int64_t fills = 0;
  int64_t records = 0;    ///< of events
  int64_t creations = 0;  ///< of events and streams
};

/// Of the calling thread. In the library that is loaded first (LD_PRELOAD), by this name.
using CudaCallsOfThread = CudaCalls*();
constexpr const char* kCudaCallsOfThread = "dynascope_cuda_calls_of_thread";

}  // namespace dynascope::test
