// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The first pass: a run of eight rows in the registers of one warp, and the sums of it that need no memory.

#include "tile.cuh"
#include "words.cuh"

namespace dynascope::DYNASCOPE_DEVICE {

/// The values that a thread holds of one run, as they lie in memory; 0 where the tile has none.
template <typename T>
struct RunValues {
  static constexpr int kPerWord = static_cast<int>(sizeof(unsigned) / sizeof(T));
  static constexpr int kWords = kGroup / kPerWord;

  unsigned words[kRunRows][kHalves][kWords];

  /// Value `i` of a row's eight.
  __device__ float at(int row, int i) const {
    const int j = i % kGroup;
    const unsigned word = words[row][i / kGroup][j / kPerWord];
    if constexpr (sizeof(T) == sizeof(float)) {
      return engine::float_of_bits(word);
    } else {
      return to_float(T{static_cast<uint16_t>(j % kPerWord == 0 ? word : word >> 16)});
    }
  }
};

/// First of the thread's lanes.
__device__ inline int own_lane() { return kGroup * thread_of_warp(); }

template <typename T, int kWords>
__device__ void load_group(const T* from, unsigned (&words)[kWords]) {
  if constexpr (kWords == 4) {
    const uint4 group = __ldg(reinterpret_cast<const uint4*>(from));
    words[0] = group.x;
    words[1] = group.y;
    words[2] = group.z;
    words[3] = group.w;
  } else {
    const uint2 group = __ldg(reinterpret_cast<const uint2*>(from));
    words[0] = group.x;
    words[1] = group.y;
  }
}

/// Loads a run from a wide source.
/// @param from  its first row, lane 0
/// @param rows  that exist; more than kRunRows are not read
template <typename T>
__device__ void load_wide(const T* from, int64_t row_stride, int rows, int lanes, RunValues<T>& run) {
  const int lane = own_lane();
  if (rows >= kRunRows && lanes == kTileLanes) {
#pragma unroll
    for (int row = 0; row < kRunRows; ++row) {
      load_group(from + row * row_stride + lane, run.words[row][0]);
      load_group(from + row * row_stride + lane + kHalfLanes, run.words[row][1]);
    }
    return;
  }
#pragma unroll
  for (int row = 0; row < kRunRows; ++row) {
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
#pragma unroll
      for (int word = 0; word < RunValues<T>::kWords; ++word) {
        run.words[row][half][word] = 0;
      }
      if (row < rows && lane + half * kHalfLanes < lanes) {
        load_group(from + row * row_stride + lane + half * kHalfLanes, run.words[row][half]);
      }
    }
  }
}

/// A fold of eight.
template <typename T>
__device__ T fold_run(const T (&x)[kRunRows]) {
  return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

/// Writes the run's sums of this thread's lanes to its warp's part of shared memory.
/// @param stage  (kSums, kTileLanes)
template <typename T>
__device__ void add_lanes(const RunValues<T>& run, float* stage) {
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    float sums[kSums][kGroup];
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      float values[kRunRows];
      float squares[kRunRows];
      float magnitudes[kRunRows];
#pragma unroll
      for (int row = 0; row < kRunRows; ++row) {
        values[row] = run.at(row, half * kGroup + j);
        squares[row] = values[row] * values[row];
        magnitudes[row] = fabsf(values[row]);
      }
      sums[0][j] = fold_run(values);
      sums[1][j] = fold_run(squares);
      sums[2][j] = fold_run(magnitudes);
    }
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      *reinterpret_cast<float4*>(stage + i * kTileLanes + half * kHalfLanes + own_lane()) =
          float4{sums[i][0], sums[i][1], sums[i][2], sums[i][3]};
    }
  }
}

/// Least and greatest of what a thread has seen, as the values lie in memory: two in a word where these have 16 bits.
/// A NaN may get lost; the squares tell.
template <typename T>
struct Bounds {
  unsigned low = Words<T>::kInfinity;
  unsigned high = Words<T>::kMinusInfinity;

  __device__ void add(unsigned word) {
    low = Words<T>::lesser(low, word);
    high = Words<T>::greater(high, word);
  }

  __device__ void add(const RunValues<T>& run, int rows, int lanes) {
    if (rows >= kRunRows && lanes == kTileLanes) {
#pragma unroll
      for (int row = 0; row < kRunRows; ++row) {
#pragma unroll
        for (int i = 0; i < kHalves * RunValues<T>::kWords; ++i) {
          add(run.words[row][i / RunValues<T>::kWords][i % RunValues<T>::kWords]);
        }
      }
    } else {
      add_some(run, rows, lanes);
    }
  }

  __device__ float least() const { return Words<T>::least(low); }
  __device__ float greatest() const { return Words<T>::greatest(high); }

 private:
  // Of two values in a word, both exist or none: the source is wide.
  __device__ void add_some(const RunValues<T>& run, int rows, int lanes) {
#pragma unroll
    for (int i = 0; i < kHalves * RunValues<T>::kWords; ++i) {
      const int half = i / RunValues<T>::kWords;
      const int word = i % RunValues<T>::kWords;
      const int lane = own_lane() + half * kHalfLanes + word * RunValues<T>::kPerWord;
#pragma unroll
      for (int row = 0; row < kRunRows; ++row) {
        if (row < rows && lane < lanes) {
          add(run.words[row][half][word]);
        }
      }
    }
  }
};

/// Rows of single taps and more than kHalfLanes columns: the eight sums of a run, in float64.
/// @return the sum of row (thread of the warp) / 4
template <typename T>
__device__ double fold_full_rows(const RunValues<T>& run) {
  const unsigned thread = thread_of_block();
  float two[2][kGroup];
  double one[kGroup];
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    float rows[kRunRows];
    float four[4];
#pragma unroll
    for (int row = 0; row < kRunRows; ++row) {
      rows[row] = run.at(row, j) + run.at(row, j + kGroup);  // 128
    }
#pragma unroll
    for (int row = 0; row < 4; ++row) {
      four[row] = exchange_and_add(rows[row], rows[row + 4], thread, 16);  // 64
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      two[row][j] = exchange_and_add(four[row], four[row + 2], thread, 8);  // 32: the last of the short levels
    }
    one[j] = exchange_and_add(static_cast<double>(two[0][j]), static_cast<double>(two[1][j]), thread, 4);  // 16
  }
  // The thread has one row now, and passes on columns.
  const double left = exchange_and_add(one[0], one[2], thread, 2);  // 8
  const double right = exchange_and_add(one[1], one[3], thread, 2);
  double sum = exchange_and_add(left, right, thread, 1);  // 4
  sum += __shfl_xor_sync(kFullMask, sum, 2);              // 2
  sum += __shfl_xor_sync(kFullMask, sum, 1);              // 1
  return sum;
}

}  // namespace dynascope::DYNASCOPE_DEVICE
