// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace dynascope::bench {

/// Memory that one sum_words() over `count` words needs.
size_t sum_words_bytes(int64_t count);

/// CUB's DeviceReduce::Sum over `count` float32 words of device memory, into `target`.
/// @param unused  device memory, `bytes` of it
void sum_words(const float* words, int64_t count, float* target, void* unused, size_t bytes, CUstream_st* stream);

/// Holds the stream for about so long.
void hold(int64_t microseconds, CUstream_st* stream);

}  // namespace dynascope::bench
