// SPDX-License-Identifier: BSD-3-Clause
// A CUDA device that is not there, and counts what it is asked for.
//
// Loaded before the CUDA runtime (LD_PRELOAD), this library takes the place of the functions that LibTorch's allocator
// and streams, and our own backend, call: device memory is host memory, copies are done at once, every event has
// happened, and a kernel does nothing. What the host asks of a device can so be counted without one: launches, waits,
// allocations, copies. What a kernel computes cannot be seen here; tests/support/host_device is for that.
//
// CUPTI would count on a real device only; a fake header in front of cuda_backend.cpp would leave out what LibTorch
// does for it. The library also answers to the driver's name, which LibTorch loads to ask whether a device is in use.
#include "calls.hpp"

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>

namespace {

using dynascope::test::CudaCalls;

thread_local CudaCalls calls;

cudaError_t allocate(void** memory, size_t bytes) {
  constexpr size_t kAlignment = 512;
  const size_t whole = (bytes + kAlignment) / kAlignment * kAlignment;
  ++calls.allocations;
  *memory = std::aligned_alloc(kAlignment, whole);
  if (*memory == nullptr) {
    return cudaErrorMemoryAllocation;
  }
  std::memset(*memory, 0, whole);
  return cudaSuccess;
}

cudaError_t release(void* memory) {
  ++calls.allocations;
  std::free(memory);
  return cudaSuccess;
}

template <class Handle>
cudaError_t create(Handle* handle) {
  static uintptr_t last = 0x1000;  // no two threads of a test make any
  ++calls.creations;
  *handle = reinterpret_cast<Handle>(last += 0x10);
  return cudaSuccess;
}

cudaError_t wait() {
  ++calls.waits;
  return cudaSuccess;
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  ++(kind == cudaMemcpyHostToDevice   ? calls.to_device
     : kind == cudaMemcpyDeviceToHost ? calls.to_host
                                      : calls.other_copies);
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

template <class T>
cudaError_t answer(T* where, T value) {
  *where = value;
  return cudaSuccess;
}

}  // namespace

extern "C" {

CudaCalls* dynascope_cuda_calls_of_thread() { return &calls; }

cudaError_t cudaGetDeviceCount(int* count) { return answer(count, 1); }
cudaError_t cudaGetDevice(int* device) { return answer(device, 0); }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "pretended");
  properties->major = 9;
  properties->warpSize = 32;
  properties->multiProcessorCount = 132;
  properties->totalGlobalMem = size_t{1} << 33;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->sharedMemPerBlock = 49152;
  for (int& size : properties->maxGridSize) {
    size = 65535;
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return answer(value, 0); }
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  return answer(greatest, -5);
}
cudaError_t cudaMemGetInfo(size_t* left, size_t* all) {
  *left = size_t{1} << 33;
  return answer(all, size_t{1} << 33);
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, size_t) {
  return answer(blocks, 2);
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t, unsigned) {
  return answer(blocks, 2);
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
  *attributes = {};
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes); }
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) { return allocate(memory, bytes); }
cudaError_t cudaFree(void* memory) { return release(memory); }
cudaError_t cudaFreeHost(void* memory) { return release(memory); }

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) { return create(stream); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return create(event); }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  return answer(status, cudaStreamCaptureStatusNone);
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) {
  ++calls.records;
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t, cudaStream_t, unsigned) {
  ++calls.records;
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) { return answer(milliseconds, 0.01F); }
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return wait(); }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return wait(); }
cudaError_t cudaDeviceSynchronize() { return wait(); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  return copy(to, from, bytes, kind);
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  ++calls.waits;
  return copy(to, from, bytes, kind);
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  ++calls.fills;
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t) {
  ++calls.launches;
  return cudaSuccess;
}
// What nvcc 13 makes of <<<>>>.
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t) {
  ++calls.launches;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  return answer(kernel, reinterpret_cast<cudaKernel_t>(const_cast<void*>(function)));
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void*, void**) {
  ++calls.launches;
  return cudaSuccess;
}

// The driver's, by which LibTorch asks whether the device is in use.
int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) {
  *flags = 0;
  *active = 1;
  return 0;
}
}
