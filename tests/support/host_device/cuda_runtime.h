// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A stand-in for the CUDA headers: the kernels' own sources, compiled by the host's compiler with this folder first on
// the include path, run thread by thread on the CPU (scheduler.hpp). It has what the kernels use and nothing more. It
// proves indexing, geometry, shuffles, barriers and the order of additions; not code generation, memory ordering or
// speed, for which there is no substitute for the device.

#include "scheduler.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

struct CUstream_st;
using cudaStream_t = CUstream_st*;

// Apart from the real runtime's functions of the same names, which may be in the same program.
namespace dynascope::host_device {

struct __attribute__((may_alias, aligned(8))) uint2 {
  unsigned x, y;
};
struct __attribute__((may_alias, aligned(16))) uint4 {
  unsigned x, y, z, w;
};
struct __attribute__((may_alias, aligned(16))) float4 {
  float x, y, z, w;
};

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorName(cudaError_t status) {
  return status == cudaSuccess ? "cudaSuccess" : "cudaErrorInvalidValue";
}
inline const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaSuccess ? "no error" : "invalid argument";
}
inline cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t) {
  if (target == nullptr) {
    return cudaErrorInvalidValue;
  }
  std::memset(target, value, bytes);
  return cudaSuccess;
}

template <typename T>
T __ldg(const T* from) {
  return *from;
}

template <typename T>
T __ldcg(const T* from) {
  return *from;
}

inline void __syncthreads() { wait_for_block(); }
inline void __syncwarp() { exchange_down(0xFFFFFFFFU, 0, 0, 32); }
inline void __threadfence() {}

template <typename T, typename Exchange>
T exchange_value(T value, Exchange exchange) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width) {
  return exchange_value(value, [&](uint64_t bits) { return exchange_down(mask, bits, delta, width); });
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return exchange_value(value, [&](uint64_t bits) { return exchange_xor(mask, bits, static_cast<unsigned>(lanes)); });
}

template <typename T>
T atomicAdd(T* target, T value) {
  const T before = *target;
  *target = before + value;
  return before;
}

}  // namespace dynascope::host_device
