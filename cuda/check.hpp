// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How every call of the CUDA runtime is checked.

#include "launch.hpp"

#include <cuda_runtime_api.h>

namespace dynascope::DYNASCOPE_DEVICE {

/// Clears the runtime's last error and throws dynascope::Error: what was called, where, what CUDA says.
[[noreturn]] void throw_error(cudaError_t status, const char* call, const char* file, int line);

/// For destructors: clears the runtime's last error and goes on. What is torn down cannot be saved, and a process that
/// ends may have lost its CUDA context already.
void ignore_error(cudaError_t status) noexcept;

}  // namespace dynascope::DYNASCOPE_DEVICE

#define DYNASCOPE_CUDA_CHECK(call)                                                             \
  do {                                                                                         \
    const cudaError_t dynascope_status = (call);                                               \
    if (dynascope_status != cudaSuccess) {                                                     \
      ::dynascope::DYNASCOPE_DEVICE::throw_error(dynascope_status, #call, __FILE__, __LINE__); \
    }                                                                                          \
  } while (false)

#define DYNASCOPE_CUDA_CHECK_TEARDOWN(call) ::dynascope::DYNASCOPE_DEVICE::ignore_error(call)
