// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the kernels share: the launch, folds over warps and blocks.

#include "block.hpp"
#include "check.hpp"
#include "engine/arithmetic.hpp"

#include <cuda_runtime.h>

// Launches `kernel` over `blocks` blocks of kThreads threads; nothing where there are no blocks.
#if defined(DYNASCOPE_HOST_DEVICE)
#define DYNASCOPE_LAUNCH(kernel, blocks, stream, ...)                                                \
  do {                                                                                               \
    static_cast<void>(stream);                                                                       \
    ::dynascope::host_device::run_grid(static_cast<unsigned>(blocks), ::dynascope::engine::kThreads, \
                                       [&] { kernel(__VA_ARGS__); });                                \
  } while (false)
#else
#define DYNASCOPE_LAUNCH(kernel, blocks, stream, ...)                                                   \
  do {                                                                                                  \
    if ((blocks) > 0) {                                                                                 \
      kernel<<<static_cast<unsigned>(blocks), ::dynascope::engine::kThreads, 0, stream>>>(__VA_ARGS__); \
      DYNASCOPE_CUDA_CHECK(cudaGetLastError());                                                         \
    }                                                                                                   \
  } while (false)
#endif

namespace dynascope::DYNASCOPE_DEVICE {

constexpr unsigned kFullMask = 0xFFFFFFFFU;

/// threadIdx.x, read anew at each call: in kernels that use all registers, the compiler would rather keep what follows
/// from it in local memory than read it again.
__device__ inline unsigned thread_of_block() {
#if defined(__CUDA_ARCH__)
  unsigned thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
#else
  return threadIdx.x;
#endif
}
__device__ inline int thread_of_warp() { return static_cast<int>(thread_of_block() % engine::kWarp); }
__device__ inline int warp_of_block() { return static_cast<int>(thread_of_block() / engine::kWarp); }

/// What the lane `delta` above holds, within groups of `width` lanes; all lanes of the warp take part.
__device__ inline double shuffle_down(double value, int delta, int width) {
  return __shfl_down_sync(kFullMask, value, static_cast<unsigned>(delta), width);
}
__device__ inline int64_t shuffle_down(int64_t value, int delta, int width) {
  return __shfl_down_sync(kFullMask, static_cast<long long>(value), static_cast<unsigned>(delta), width);
}
__device__ inline engine::Moments shuffle_down(const engine::Moments& value, int delta, int width) {
  return {shuffle_down(value.count, delta, width),   shuffle_down(value.nonfinite, delta, width),
          shuffle_down(value.mean, delta, width),    shuffle_down(value.m2, delta, width),
          shuffle_down(value.abs_sum, delta, width), shuffle_down(value.min, delta, width),
          shuffle_down(value.max, delta, width)};
}
__device__ inline engine::LaneSums shuffle_down(const engine::LaneSums& value, int delta, int width) {
  return {shuffle_down(value.count, delta, width),   shuffle_down(value.nonfinite, delta, width),
          shuffle_down(value.sum, delta, width),     shuffle_down(value.squares, delta, width),
          shuffle_down(value.abs_sum, delta, width), shuffle_down(value.min, delta, width),
          shuffle_down(value.max, delta, width)};
}

/// engine::fold() over the lanes of each group of `width`; valid in the group's first lane. All lanes of the warp call.
template <typename T, typename Add>
__device__ inline T fold_lanes(T value, int width, Add add) {
  for (int half = width / 2; half > 0; half /= 2) {
    value = add(value, shuffle_down(value, half, width));
  }
  return value;
}

/// A step of engine::fold() over threads of a warp that differ in bit `half`, for two values at once: the lower thread
/// gets the sum of `low`, the upper that of `high`. All lanes of the warp call.
template <typename T>
__device__ inline T exchange_and_add(T low, T high, unsigned thread, int half) {
  const bool upper = (thread & static_cast<unsigned>(half)) != 0;
  return (upper ? high : low) + __shfl_xor_sync(kFullMask, upper ? low : high, half);
}

struct Sum {
  __device__ double operator()(double a, double b) const { return a + b; }
};

/// engine::fold() over one LaneSums per thread of the block; valid in thread 0. All threads call.
/// @param shared  (kThreads,), in shared memory, free from the caller's last barrier on
__device__ inline engine::LaneSums fold_threads(const engine::LaneSums& mine, engine::LaneSums* shared) {
  const auto join = [](const engine::LaneSums& a, const engine::LaneSums& b) { return engine::join(a, b); };
  const int thread = static_cast<int>(threadIdx.x);
  shared[thread] = mine;
  __syncthreads();
  engine::LaneSums sums = mine;
  if (thread < engine::kWarp) {
    // Halves of 128, 64 and 32, by one warp: eight values, 32 apart, fold pairwise in the order of engine::fold().
    const engine::LaneSums* column = shared + thread;
    sums = join(join(join(column[0], column[128]), join(column[64], column[192])),
                join(join(column[32], column[160]), join(column[96], column[224])));
    sums = fold_lanes(sums, engine::kWarp, join);
  }
  return sums;
}

}  // namespace dynascope::DYNASCOPE_DEVICE
