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

// Loads of parameters, by the read-only path: nothing writes them while a kernel runs.
__device__ inline float load_value(const float* from) { return __ldg(from); }
__device__ inline double load_value(const double* from) { return __ldg(from); }
template <typename T>
__device__ T load_value(const T* from) {
  return {__ldg(&from->bits)};
}

__device__ inline unsigned bits_of(float value) {
  unsigned bits = 0;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
template <typename T>
__device__ unsigned bits_of(T value) {
  return value.bits;
}

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(engine::BFloat16 value) {
  return engine::float_of_bits(static_cast<uint32_t>(value.bits) << 16);
}
__device__ inline float to_float(engine::Float16 value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  return static_cast<float>(engine::to_double(value));
#endif
}

/// Values in 32-bit words as they lie in memory: one float32, or two of 16 bits, compared as such.
template <typename T>
struct Words;
template <>
struct Words<float> {
  static constexpr unsigned kInfinity = 0x7F800000U;
  static constexpr unsigned kMinusInfinity = 0xFF800000U;
  __device__ static unsigned lesser(unsigned a, unsigned b) { return bits_of(fminf(least(a), least(b))); }
  __device__ static unsigned greater(unsigned a, unsigned b) { return bits_of(fmaxf(least(a), least(b))); }
  __device__ static float least(unsigned word) { return engine::float_of_bits(word); }
  __device__ static float greatest(unsigned word) { return engine::float_of_bits(word); }
};
template <typename T>
struct PairWords {
  __device__ static float first(unsigned word) { return to_float(T{static_cast<uint16_t>(word)}); }
  __device__ static float second(unsigned word) { return to_float(T{static_cast<uint16_t>(word >> 16)}); }
  __device__ static float least(unsigned word) { return fminf(first(word), second(word)); }
  __device__ static float greatest(unsigned word) { return fmaxf(first(word), second(word)); }
#if !defined(__CUDA_ARCH__)
  template <typename Take>
  static unsigned select(unsigned a, unsigned b, Take take) {
    return ((take(first(a), first(b)) ? a : b) & 0xFFFFU) | ((take(second(a), second(b)) ? a : b) & 0xFFFF0000U);
  }
  static unsigned lesser(unsigned a, unsigned b) {
    return select(a, b, [](float x, float y) { return x <= y || y != y; });
  }
  static unsigned greater(unsigned a, unsigned b) {
    return select(a, b, [](float x, float y) { return x >= y || y != y; });
  }
#endif
};
template <>
struct Words<engine::BFloat16> : PairWords<engine::BFloat16> {
  static constexpr unsigned kInfinity = 0x7F807F80U;
  static constexpr unsigned kMinusInfinity = 0xFF80FF80U;
#if defined(__CUDA_ARCH__)
  __device__ static unsigned lesser(unsigned a, unsigned b) {
    asm("min.bf16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
  }
  __device__ static unsigned greater(unsigned a, unsigned b) {
    asm("max.bf16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
  }
#endif
};
template <>
struct Words<engine::Float16> : PairWords<engine::Float16> {
  static constexpr unsigned kInfinity = 0x7C007C00U;
  static constexpr unsigned kMinusInfinity = 0xFC00FC00U;
#if defined(__CUDA_ARCH__)
  __device__ static unsigned lesser(unsigned a, unsigned b) {
    asm("min.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
  }
  __device__ static unsigned greater(unsigned a, unsigned b) {
    asm("max.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
  }
#endif
};

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
