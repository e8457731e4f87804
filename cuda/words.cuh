// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Values of parameters as they lie in memory.

#include "device.cuh"

namespace dynascope::DYNASCOPE_DEVICE {

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

}  // namespace dynascope::DYNASCOPE_DEVICE
