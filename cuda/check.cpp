// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <dynascope/error.hpp>

#include <cstring>
#include <string>

namespace dynascope::DYNASCOPE_DEVICE {

void throw_error(cudaError_t status, const char* call, const char* file, int line) {
  static_cast<void>(cudaGetLastError());
  const char* slash = std::strrchr(file, '/');
  throw Error(std::string("CUDA call failed: ") + call + " at " + (slash == nullptr ? file : slash + 1) + ":" +
              std::to_string(line) + " returned " + cudaGetErrorName(status) + " (" + cudaGetErrorString(status) +
              "); an error of earlier work on this device may show here: set CUDA_LAUNCH_BLOCKING=1 to find it");
}

void ignore_error(cudaError_t status) noexcept {
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
  }
}

}  // namespace dynascope::DYNASCOPE_DEVICE
