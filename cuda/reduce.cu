// SPDX-License-Identifier: BSD-3-Clause

// First pass: every weight is read once.
//
// One block per tile, at most 64 rows x 256 lanes (a lane is a column and tap). The block brings a chunk of rows into
// shared memory in the parameter's own dtype, 16 bytes per thread and load where the rows lie contiguously and aligned,
// one element otherwise (consecutive threads always read consecutive lanes). Then it walks the chunk twice: thread =
// lane, rows in order, for the column partial, the moments and the histogram; and thread = (row, tap, run), every
// eighth column in order, for the row partials, whose eight runs fold by shuffles. Rows are 264 elements apart in
// shared memory, which keeps the second walk free of bank conflicts for one tap. No atomics but the histogram's, which
// count.
//
// Cost per element: one read of device memory, one write and two reads of shared memory, two conversions, about eight
// float64 operations. 80 registers allow three blocks per multiprocessor. Where this first version loses, by
// reasoning, not yet by measurement: loads are not overlapped with arithmetic inside a block, only between blocks;
// float64 bounds it on devices that do few of them per clock; tiles of narrow or short matrices (Nx1, 1xN) leave most
// threads idle; the histogram's shared counters meet in the bins around zero; rows that are not a multiple of 16 bytes
// long take the one-element loads.

#include "device.cuh"
#include "launch.hpp"

namespace dynascope::DYNASCOPE_DEVICE {
namespace {

using engine::LaneSums;
using engine::Matrix;
using engine::Tables;
using engine::Tile;

constexpr int kPitch = engine::kTileLanes + 8;
constexpr int kStageBytes = 32 * kPitch * 4;
constexpr int kCounters = 1024;  ///< bins that are counted in shared memory
static_assert(kStageBytes >= static_cast<int>(sizeof(LaneSums)) * engine::kThreads);

/// Rows of a chunk: as many as fit.
template <typename T>
constexpr int kChunkRows = kStageBytes / (kPitch * static_cast<int>(sizeof(T)));

/// True where a row of the tile is one aligned run of whole uint4 in memory.
template <typename T>
__device__ bool is_wide(const Matrix& matrix, const Tile& tile, const T* first) {
  const bool taps_contiguous = (matrix.kernel[2] == 1 || matrix.tap_stride[2] == 1) &&
                               (matrix.kernel[1] == 1 || matrix.tap_stride[1] == matrix.kernel[2]) &&
                               (matrix.kernel[0] == 1 || matrix.tap_stride[0] == matrix.kernel[1] * matrix.kernel[2]);
  const bool columns_contiguous = tile.columns == 1 || matrix.column_stride == matrix.taps;
  constexpr int64_t kPerLoad = sizeof(uint4) / sizeof(T);
  return taps_contiguous && columns_contiguous && (tile.columns * tile.taps) % kPerLoad == 0 &&
         matrix.row_stride % kPerLoad == 0 && reinterpret_cast<uintptr_t>(first) % sizeof(uint4) == 0;
}

/// Copies `rows` rows of a tile to `stage` (rows, kPitch), `lanes` elements of each.
/// @param first   device memory, the chunk's first row, lane 0
/// @param offset  elements from there to this thread's lane
template <typename T>
__device__ void load_chunk(T* stage, const T* first, int64_t row_stride, int64_t offset, int rows, int lanes,
                           bool wide) {
  const int thread = static_cast<int>(threadIdx.x);
  if (wide) {
    constexpr int kPerLoad = static_cast<int>(sizeof(uint4) / sizeof(T));
    const int loads = lanes / kPerLoad;
#pragma unroll 4
    for (int i = thread; i < rows * loads; i += engine::kThreads) {
      const int row = i / loads;
      const int load = i % loads;
      reinterpret_cast<uint4*>(stage + row * kPitch)[load] =
          reinterpret_cast<const uint4*>(first + row * row_stride)[load];
    }
  } else if (thread < lanes) {
#pragma unroll 4
    for (int row = 0; row < rows; ++row) {
      stage[row * kPitch + thread] = first[row * row_stride + offset];
    }
  }
}

/// Row partials of a chunk: thread = (row, tap, run). All threads of the block call.
/// @param stage     (rows, kPitch)
/// @param partials  workspace, where the partial of the chunk's first row and the tile's first tap goes
/// @param stride    doubles from one (row, tap) to the next
template <typename T>
__device__ void add_rows(const T* stage, int rows, const Tile& tile, int64_t matrix_taps, double* partials,
                         int64_t stride) {
  const int items = rows * tile.taps * engine::kRuns;
  for (int base = 0; base < items; base += engine::kThreads) {
    const int item = base + static_cast<int>(threadIdx.x);
    const int run = item % engine::kRuns;
    const int tap = item / engine::kRuns % tile.taps;
    const int row = item / engine::kRuns / tile.taps;
    double sum = 0.0;
    if (item < items) {
      for (int column = run; column < tile.columns; column += engine::kRuns) {
        sum += engine::to_double(stage[row * kPitch + column * tile.taps + tap]);
      }
    }
    sum = fold_lanes(sum, engine::kRuns, Sum());
    if (item < items && run == 0) {
      partials[(row * matrix_taps + tap) * stride] = sum;
    }
  }
}

/// The weight layer's bins, counted in shared memory where they fit.
class BinCounter {
 public:
  /// @param shared  (kCounters,), zeroed
  __device__ BinCounter(const Tables& tables, std::byte* row, int64_t link, unsigned* shared)
      : axis_(engine::histogram_axis(tables, link)),
        bins_(tables.histogram_bins + 2),
        shared_(bins_ <= kCounters ? shared : nullptr),
        counts_(reinterpret_cast<unsigned long long*>(row + tables.offsets.histogram) + link * bins_) {}

  __device__ void count(double value) {
    const int64_t bin = engine::bin_of(axis_, value);
    if (bin < 0) {
      return;
    }
    if (shared_ != nullptr) {
      atomicAdd(shared_ + bin, 1U);
    } else {
      atomicAdd(counts_ + bin, 1ULL);
    }
  }

  /// Adds what was counted in shared memory to the row; after a barrier.
  __device__ void finish() {
    for (int64_t bin = threadIdx.x; shared_ != nullptr && bin < bins_; bin += engine::kThreads) {
      if (shared_[bin] != 0) {
        atomicAdd(counts_ + bin, static_cast<unsigned long long>(shared_[bin]));
      }
    }
  }

 private:
  engine::HistogramAxis axis_;
  int64_t bins_;
  unsigned* shared_;
  unsigned long long* counts_;
};

/// @param stage     shared memory, kStageBytes
/// @param counters  shared memory, (kCounters,), zeroed before the next barrier
template <typename T, bool kHistogram>
__device__ void reduce_tile(const Tables& tables, std::byte* row, int64_t tile_index, T* stage, unsigned* counters) {
  const Tile tile = tables.tiles[tile_index];
  const Matrix& matrix = tables.matrices[tile.matrix];
  const engine::TilePosition position = engine::position_of(matrix, tile_index);
  const int lane = static_cast<int>(threadIdx.x);
  const int lanes = tile.columns * tile.taps;
  const int64_t column = tile.first_column + lane / tile.taps;
  const int64_t tap = tile.first_tap + lane % tile.taps;

  const int64_t first_lane = engine::lane_offset(matrix, tile.first_column, tile.first_tap);
  const int64_t offset = lane < lanes ? engine::lane_offset(matrix, column, tap) - first_lane : 0;
  const T* first = static_cast<const T*>(matrix.data) + tile.first_row * matrix.row_stride + first_lane;
  const bool wide = is_wide(matrix, tile, first);
  const double shift = engine::shift_of(engine::to_double(*first));

  double column_sum = 0.0;
  LaneSums sums = engine::no_sums();
  for (int done = 0; done < tile.rows; done += kChunkRows<T>) {
    const int rows = tile.rows - done < kChunkRows<T> ? tile.rows - done : kChunkRows<T>;
    __syncthreads();  // the chunk before has been read, the counters are zero
    load_chunk(stage, first + done * matrix.row_stride, matrix.row_stride, offset, rows, lanes, wide);
    __syncthreads();
    if (lane < lanes) {
      for (int i = 0; i < rows; ++i) {
        const double value = engine::to_double(stage[i * kPitch + lane]);
        column_sum += value;
        engine::add(sums, value, shift);
      }
      if constexpr (kHistogram) {
        BinCounter counter(tables, row, matrix.weight_layer, counters);
        for (int i = 0; i < rows; ++i) {
          counter.count(engine::to_double(stage[i * kPitch + lane]));
        }
      }
    }
    double* partials = tables.workspace + engine::row_partial(matrix, tile.first_row + done, tile.first_tap, position);
    add_rows(stage, rows, tile, matrix.taps, partials, matrix.column_blocks);
  }
  if (lane < lanes) {
    tables.workspace[engine::column_partial(matrix, column, tap, position)] = column_sum;
  }
  __syncthreads();
  if constexpr (kHistogram) {
    BinCounter(tables, row, matrix.weight_layer, counters).finish();
  }
  sums = fold_threads(sums, reinterpret_cast<LaneSums*>(stage));
  if (lane == 0) {
    tables.moments[tile_index] = engine::moments_of(sums, shift);
  }
}

/// One block per tile. Writes workspace and moments of `tables`; adds to the histogram of `row`.
template <bool kHistogram>
__global__ void __launch_bounds__(engine::kThreads, 3) reduce(const Tables tables, std::byte* row) {
  __shared__ uint4 stage[kStageBytes / sizeof(uint4)];
  __shared__ unsigned counters[kHistogram ? kCounters : 1];
  if constexpr (kHistogram) {
    for (int i = static_cast<int>(threadIdx.x); i < kCounters; i += engine::kThreads) {
      counters[i] = 0;
    }
  }
  const int64_t tile = blockIdx.x;
  switch (tables.matrices[tables.tiles[tile].matrix].dtype) {
    case engine::Dtype::kFloat32:
      reduce_tile<float, kHistogram>(tables, row, tile, reinterpret_cast<float*>(stage), counters);
      break;
    case engine::Dtype::kFloat64:
      reduce_tile<double, kHistogram>(tables, row, tile, reinterpret_cast<double*>(stage), counters);
      break;
    case engine::Dtype::kBFloat16:
      reduce_tile<engine::BFloat16, kHistogram>(tables, row, tile, reinterpret_cast<engine::BFloat16*>(stage),
                                                counters);
      break;
    case engine::Dtype::kFloat16:
      reduce_tile<engine::Float16, kHistogram>(tables, row, tile, reinterpret_cast<engine::Float16*>(stage), counters);
      break;
  }
}

}  // namespace

void launch_reduce(const Program& program, std::byte* row, bool histogram, cudaStream_t stream) {
  const Tables& tables = program.tables;
  if (tables.offsets.histogram >= 0) {
    // All bits set is -1: not asked for.
    const size_t bytes = static_cast<size_t>(tables.link_count * (tables.histogram_bins + 2)) * sizeof(int64_t);
    DYNASCOPE_CUDA_CHECK(cudaMemsetAsync(row + tables.offsets.histogram, histogram ? 0 : 0xFF, bytes, stream));
  }
  if (histogram && tables.offsets.histogram >= 0) {
    DYNASCOPE_LAUNCH(reduce<true>, tables.tile_count, stream, tables, row);
  } else {
    DYNASCOPE_LAUNCH(reduce<false>, tables.tile_count, stream, tables, row);
  }
}

}  // namespace dynascope::DYNASCOPE_DEVICE
