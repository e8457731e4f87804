// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The first pass: what a block knows of its tile, and what its threads share.

#include "device.cuh"

namespace dynascope::DYNASCOPE_DEVICE {

using engine::kRunRows;
using engine::kTileLanes;
using engine::Matrix;
using engine::Tables;
using engine::Tile;

constexpr int kWarps = engine::kThreads / engine::kWarp;
constexpr int kRoundRows = kWarps * kRunRows;
constexpr int kHalves = 2;  ///< groups of neighbouring lanes of a thread
constexpr int kGroup = 4;   ///< lanes of such a group
constexpr int kHalfLanes = kTileLanes / kHalves;
constexpr int kSums = 3;                    ///< of values, squares, magnitudes
constexpr int kStage = kSums * kTileLanes;  ///< floats of a warp's part of shared memory
static_assert(kHalfLanes == kGroup * engine::kWarp);

/// Where a tile's partials go: those of its first row, column and tap. Columns lie side by side, lane by lane.
struct Place {
  double* rows;      ///< taps side by side
  int64_t row_step;  ///< from one row to the next
  double* columns;
};

/// How a tile lies in memory.
struct Source {
  const void* first;  ///< row 0, lane 0
  int64_t row_stride;
  bool contiguous;  ///< lanes follow each other
  bool wide;        ///< and every row starts at a multiple of kGroup values and ends at one
};

/// What a block shares. Read anew after each barrier: what stayed in registers would push out values.
struct Shared {
  /// Per warp: rows on their way to fold_rows(), then the run's three sums of each lane.
  alignas(16) float stages[kWarps][kStage];
  double sums[kSums][kTileLanes];
  int64_t offsets[kTileLanes];  ///< elements from the tile's first value to each lane of its row; 0 where none is
  Tile tile;
  Source source;
  Place place;
  float low[kWarps], high[kWarps];
  double totals[kSums];
  bool plain;
};
static_assert(sizeof(Shared::stages) >= sizeof(engine::LaneSums) * engine::kThreads);
static_assert(sizeof(Shared::stages) >= sizeof(double) * kRunRows * kTileLanes);

template <typename T>
__device__ Source source_of(const Matrix& matrix, const Tile& tile) {
  const T* first = static_cast<const T*>(matrix.data) + tile.first_row * matrix.row_stride +
                   (tile.first_tap == 0 ? tile.first_column * matrix.column_stride
                                        : engine::lane_offset(matrix, tile.first_column, tile.first_tap));
  const bool taps_follow = (matrix.kernel[2] == 1 || matrix.tap_stride[2] == 1) &&
                           (matrix.kernel[1] == 1 || matrix.tap_stride[1] == matrix.kernel[2]) &&
                           (matrix.kernel[0] == 1 || matrix.tap_stride[0] == matrix.kernel[1] * matrix.kernel[2]);
  const bool contiguous = taps_follow && (tile.columns == 1 || matrix.column_stride == matrix.taps);
  const bool wide = contiguous && tile.columns * tile.taps % kGroup == 0 &&
                    (tile.rows == 1 || matrix.row_stride % kGroup == 0) &&
                    reinterpret_cast<uintptr_t>(first) % (kGroup * sizeof(T)) == 0;
  return {first, matrix.row_stride, contiguous, wide};
}

/// Fills what the block shares of its tile; to be read after a barrier.
__device__ inline void prepare(const Tables& tables, const Tile& tile, const Source& source, Shared& shared) {
  const Matrix& matrix = tables.matrices[tile.matrix];
  const int lane = static_cast<int>(thread_of_block());
#pragma unroll
  for (double(&sums)[kTileLanes] : shared.sums) {
    sums[lane] = 0.0;
  }
  const bool exists = lane < tile.columns * tile.taps;
  shared.offsets[lane] = exists ? lane : 0;
  if (exists && !source.contiguous) {
    shared.offsets[lane] =
        engine::lane_offset(matrix, tile.first_column + lane / tile.taps, tile.first_tap + lane % tile.taps) -
        engine::lane_offset(matrix, tile.first_column, tile.first_tap);
  }
  if (lane == 0) {
    shared.tile = tile;
    shared.source = source;
    const engine::TilePosition position = engine::position_of(matrix, blockIdx.x);
    shared.place = {tables.workspace + engine::row_partial(matrix, tile.first_row, tile.first_tap, position),
                    matrix.taps,
                    tables.workspace + engine::column_partial(matrix, tile.first_column, tile.first_tap, position)};
  }
}

}  // namespace dynascope::DYNASCOPE_DEVICE
