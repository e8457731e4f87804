// SPDX-License-Identifier: BSD-3-Clause

// What needs nvcc: the fastest plain read that there is, and a kernel that only takes time.

#include "ceiling.hpp"

#include <cub/device/device_reduce.cuh>
#include <stdexcept>
#include <string>

namespace dynascope::bench {
namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
  }
}

__global__ void wait(int64_t nanoseconds) {
  int64_t begin = 0;
  int64_t now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - begin < nanoseconds);
}

}  // namespace

size_t sum_words_bytes(int64_t count) {
  size_t bytes = 0;
  check(cub::DeviceReduce::Sum(nullptr, bytes, static_cast<const float*>(nullptr), static_cast<float*>(nullptr), count),
        "cub::DeviceReduce::Sum");
  return bytes;
}

void sum_words(const float* words, int64_t count, float* target, void* unused, size_t bytes, CUstream_st* stream) {
  check(cub::DeviceReduce::Sum(unused, bytes, words, target, count, stream), "cub::DeviceReduce::Sum");
}

void hold(int64_t microseconds, CUstream_st* stream) {
  wait<<<1, 1, 0, stream>>>(1000 * microseconds);
  check(cudaGetLastError(), "a kernel that waits");
}

}  // namespace dynascope::bench
