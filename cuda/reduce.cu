// SPDX-License-Identifier: BSD-3-Clause

// First pass: every weight is read once.
//
// One block of eight warps per tile, 64 rows of it at a time: warp w has run w of these, thread t lanes 4t to 4t + 3
// and 128 + 4t to 128 + 4t + 3 of the run's eight rows, all 64 values in registers.
//
//   loads   sixteen per thread, of 128 bits (of 64 where values have 16), all issued before the first is used; those of
//           the next 64 rows before the block meets to add up these
//   lanes   the run's eight rows are folded where they are, for the values, their squares and their magnitudes; the
//           results pass through shared memory, where thread = lane adds the runs in order
//   rows    folded by halves: 128 within a thread, 64 to 4 across the warp, where each step leaves a thread half of the
//           rows, then of the columns, so that eight rows take 42 shuffles; 2 and 1 again across the warp
//   bounds  in registers until the tile ends
//
// That is reduce_full(), for rows of single taps and more than 128 columns. Any other tile, and all tiles of a row that
// wants its histogram, pass through the warp's part of shared memory (reduce_any()): rows that are not aligned or not
// contiguous are read into it value by value; a thread folds eight columns there, an eighth of the fold apart.
//
// A tile that is_plain() is done then. Any other, and any of float64, is read once more by thread = lane, eight rows at
// a time, in float64 (reduce_carefully()). No atomics but the histogram's, which count.
//
// Why not the alternatives. Bulk copies into shared memory free registers, but for the same bytes in flight need more
// of it than sm_86, 89 and 120 have. Loads of 128 bits of 16-bit values spread a row over twice as many threads: 74
// shuffles, to save eight loads. Rows dealt out by thread would save the exchanges their selects, and cut every load
// into pieces of 64 bytes.
//
// Cost per float32 element, from the machine code: one read of device memory and about twelve instructions, a half of
// one each a conversion to and an addition in float64. 128 registers: two blocks per multiprocessor, 64 KB of float32
// in flight each. Where it loses, by reasoning, not by measurement: 16-bit values come near what Hopper issues in the
// time of their read; a tile of one row keeps one warp of eight busy for a kilobyte, so that a large matrix of few rows
// is bound by blocks, not by memory (a warp per such tile would mend that); tiles of few lanes leave threads idle; a
// transposed view is read through the first-level cache; the histogram's counters meet in the bins around zero.

#include "bins.cuh"
#include "launch.hpp"
#include "run.cuh"

namespace dynascope::DYNASCOPE_DEVICE {
namespace {

using engine::LaneSums;
using engine::PlainSums;

/// Folds rows of any columns and taps: eight columns, an eighth of the fold apart, are the short levels and one
/// thread's; neighbouring threads then meet by shuffles.
/// @param staged  shared memory, (rows, pitch)
/// @param thread  of `threads` that call, whole warps
template <typename T>
__device__ void fold_rows(const Tile& tile, const Place& place, const T* staged, int pitch, int first_row, int rows,
                          int thread, int threads) {
  const int folds = engine::fold_count(tile.columns);
  const int eighth = folds < kRunRows ? 1 : folds / kRunRows;
  const int items = rows * tile.taps * eighth;
  for (int base = 0; base < items; base += threads) {
    const int item = base + thread;
    const int column = item % eighth;
    const int tap = item / eighth % tile.taps;
    const int row = item / eighth / tile.taps;
    T values[kRunRows];
#pragma unroll
    for (int i = 0; i < kRunRows; ++i) {
      const int own = column + i * eighth;
      values[i] = item < items && own < tile.columns ? staged[row * pitch + own * tile.taps + tap] : T{0};
    }
    const double sum = fold_lanes(static_cast<double>(fold_run(values)), eighth, Sum());
    if (item < items && column == 0) {
      place.rows[(first_row + row) * place.row_step + tap] = sum;
    }
  }
}

/// One block's work.
struct Work {
  const Tables& tables;
  std::byte* row;
  Shared& shared;
  unsigned* counters;

  __device__ BinCounter bins() const {
    return BinCounter(tables, row, tables.matrices[shared.tile.matrix].weight_layer, counters);
  }
};

/// Writes `rows` rows to shared memory, value by value. Neighbouring threads read neighbouring lanes, or rows where
/// these lie side by side.
/// @param from   the first of the rows
/// @param stage  (rows, pitch); 0 from `lanes` on
template <typename T>
__device__ void stage_values(const Shared& shared, const T* from, int rows, int lanes, int pitch, float* stage) {
  const int64_t row_stride = shared.source.row_stride;
#pragma unroll 8
  for (int i = thread_of_warp(); i < rows * pitch; i += engine::kWarp) {
    const int row = row_stride == 1 ? i % rows : i / pitch;
    const int lane = row_stride == 1 ? i / rows : i % pitch;
    float value = 0.0F;
    if (lane < lanes) {
      value = to_float(load_value(from + row * row_stride + shared.offsets[lane]));
    }
    stage[row * pitch + lane] = value;
  }
}

/// A run of any tile, by way of the warp's part of shared memory, as many rows at a time as fit: its row partials, its
/// counts, and its values in `run`.
/// @param from  the run's first row, lane 0
template <bool kHistogram, typename T>
__device__ void stage_run(const Work& work, const T* from, int first_row, int rows, float* stage,
                          RunValues<float>& run) {
  const Shared& shared = work.shared;
  const Tile& tile = shared.tile;
  const int lanes = tile.columns * tile.taps;
  const int pitch = (lanes + kGroup - 1) / kGroup * kGroup;
  const int fit = kStage / pitch;
  if (shared.source.wide) {
    RunValues<T> read;
    load_wide(from, shared.source.row_stride, rows, lanes, read);
#pragma unroll
    for (int i = 0; i < kRunRows * kHalves * kGroup; ++i) {
      const int row = i / (kHalves * kGroup);
      run.words[row][i / kGroup % kHalves][i % kGroup] = bits_of(read.at(row, i % (kHalves * kGroup)));
    }
  }
  for (int first = 0; first < rows; first += fit) {
    const int some = rows - first < fit ? rows - first : fit;
    __syncwarp();
    if (!shared.source.wide) {
      stage_values(shared, from + first * shared.source.row_stride, some, lanes, pitch, stage);
      __syncwarp();
    }
#pragma unroll
    for (int i = 0; i < kRunRows; ++i) {
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        auto* group = reinterpret_cast<uint4*>(stage + (i - first) * pitch + half * kHalfLanes + own_lane());
        unsigned(&words)[kGroup] = run.words[i][half];
        const bool exists = i >= first && i < first + some && half * kHalfLanes + own_lane() < pitch;
        if (exists && shared.source.wide) {
          *group = uint4{words[0], words[1], words[2], words[3]};
        } else if (!shared.source.wide && (exists || first == 0)) {
          const uint4 read = exists ? *group : uint4{0, 0, 0, 0};
          words[0] = read.x;
          words[1] = read.y;
          words[2] = read.z;
          words[3] = read.w;
        }
      }
    }
    __syncwarp();
    fold_rows(tile, shared.place, stage, pitch, first_row + first, some, thread_of_warp(), engine::kWarp);
    if constexpr (kHistogram) {
      BinCounter counter = work.bins();
      for (int i = 0; i < some; ++i) {
        for (int lane = thread_of_warp(); lane < lanes; lane += engine::kWarp) {
          counter.count(static_cast<double>(stage[i * pitch + lane]));
        }
      }
    }
  }
  __syncwarp();
}

/// Adds up the runs of a round, thread = lane. All threads call.
/// @param rows  from the round's first on
__device__ inline void add_runs(Shared& shared, int rows) {
  const int lane = static_cast<int>(thread_of_block());
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    double sum = shared.sums[i][lane];
#pragma unroll
    for (int run = 0; run < kWarps; ++run) {
      if (run * kRunRows < rows) {
        sum += static_cast<double>(shared.stages[run][i * kTileLanes + lane]);
      }
    }
    shared.sums[i][lane] = sum;
  }
  __syncthreads();
}

/// This warp's run of the round that starts at row `round`.
template <typename T>
__device__ const T* run_at(const Source& source, int round) {
  const int first_row = round + warp_of_block() * kRunRows;
  return static_cast<const T*>(source.first) + first_row * source.row_stride;
}
__device__ inline int rows_at(const Tile& tile, int round) { return tile.rows - round - warp_of_block() * kRunRows; }

/// Full rows of single taps, from a wide source: the way of almost all elements of a large network.
template <typename T>
__device__ void reduce_full(const Work& work, const Source& source, const Tile& tile, float& low, float& high) {
  Shared& shared = work.shared;
  RunValues<T> run;
  Bounds<T> bounds;
  load_wide(run_at<T>(source, 0), source.row_stride, rows_at(tile, 0), tile.columns, run);
  prepare(work.tables, tile, source, shared);
  __syncthreads();
  for (int round = 0; round < shared.tile.rows; round += kRoundRows) {
    const int rows = rows_at(shared.tile, round);
    if (rows > 0) {
      bounds.add(run, rows, shared.tile.columns);
      __syncwarp();
      add_lanes(run, shared.stages[warp_of_block()]);
      __syncwarp();
      const double sum = fold_full_rows(run);
      const int row = thread_of_warp() / kGroup;
      if (thread_of_warp() % kGroup == 0 && row < rows) {
        shared.place.rows[(shared.tile.rows - rows + row) * shared.place.row_step] = sum;
      }
    }
    const int next = round + kRoundRows;
    if (next < shared.tile.rows) {
      load_wide(run_at<T>(shared.source, next), shared.source.row_stride, rows_at(shared.tile, next),
                shared.tile.columns, run);
    }
    add_runs(shared, shared.tile.rows - round);
  }
  low = bounds.least();
  high = bounds.greatest();
}

/// Any other tile of short sums.
template <typename T, bool kHistogram>
__device__ void reduce_any(const Work& work, float& low, float& high) {
  Shared& shared = work.shared;
  Bounds<float> bounds;
  for (int round = 0; round < shared.tile.rows; round += kRoundRows) {
    const int left = rows_at(shared.tile, round);
    const int rows = left < kRunRows ? left : kRunRows;
    if (rows > 0) {
      RunValues<float> run;
      stage_run<kHistogram>(work, run_at<T>(shared.source, round), shared.tile.rows - left, rows,
                            shared.stages[warp_of_block()], run);
      bounds.add(run, rows, shared.tile.columns * shared.tile.taps);
      add_lanes(run, shared.stages[warp_of_block()]);
    }
    add_runs(shared, shared.tile.rows - round);
  }
  low = bounds.least();
  high = bounds.greatest();
}

/// engine::fold() of the sums of each kind, one warp per kind.
__device__ inline void fold_sums(Shared& shared) {
  const int warp = warp_of_block();
  const int thread = thread_of_warp();
  if (warp < kSums) {
    double eight[kRunRows];  // 32 apart
#pragma unroll
    for (int i = 0; i < kRunRows; ++i) {
      eight[i] = shared.sums[warp][i * engine::kWarp + thread];
    }
    const double total = fold_lanes(fold_run(eight), engine::kWarp, Sum());
    if (thread == 0) {
      shared.totals[warp] = total;
    }
  }
}

/// The tile with short sums in float32. All threads call.
/// @return false where these do not tell all: then only row partials were written
template <typename T, bool kHistogram>
__device__ bool reduce_plain(const Work& work, const Source& source, const Tile& tile) {
  const int lane = static_cast<int>(thread_of_block());
  const int warp = warp_of_block();
  Shared& shared = work.shared;
  float low = 0.0F;
  float high = 0.0F;
  bool full = false;
  if constexpr (!kHistogram) {
    full = source.wide && tile.taps == 1 && tile.columns > kHalfLanes;
    if (full) {
      reduce_full<T>(work, source, tile, low, high);
    }
  }
  if (!full) {
    prepare(work.tables, tile, source, shared);
    __syncthreads();
    reduce_any<T, kHistogram>(work, low, high);
  }
  for (int half = engine::kWarp / 2; half > 0; half /= 2) {
    low = fminf(low, __shfl_xor_sync(kFullMask, low, half));
    high = fmaxf(high, __shfl_xor_sync(kFullMask, high, half));
  }
  if (thread_of_warp() == 0) {
    shared.low[warp] = low;
    shared.high[warp] = high;
  }
  fold_sums(shared);
  __syncthreads();
  const int lanes = shared.tile.columns * shared.tile.taps;
  if (lane == 0) {
    for (int i = 1; i < kWarps; ++i) {
      low = fminf(low, shared.low[i]);
      high = fmaxf(high, shared.high[i]);
    }
    const PlainSums plain{
        int64_t{shared.tile.rows} * lanes, shared.totals[0],         shared.totals[1], shared.totals[2],
        static_cast<double>(low),          static_cast<double>(high)};
    shared.plain = engine::is_plain(plain);
    if (shared.plain) {
      work.tables.moments[blockIdx.x] = engine::moments_of_plain(plain);
    }
  }
  __syncthreads();
  if (shared.plain && lane < lanes) {
    shared.place.columns[lane] = shared.sums[0][lane];
  }
  return shared.plain;
}

/// The tile in float64, about a shift. All threads call.
template <typename T, bool kHistogram>
__device__ void reduce_carefully(const Work& work) {
  Shared& shared = work.shared;
  const Tile& tile = shared.tile;
  const int lane = static_cast<int>(thread_of_block());
  const bool exists = lane < tile.columns * tile.taps;
  const T* first_value = static_cast<const T*>(shared.source.first);
  const T* from = first_value + shared.offsets[lane];
  const double shift = engine::shift_of(engine::to_double(load_value(first_value)));
  auto* staged = reinterpret_cast<double*>(shared.stages);  // (kRunRows, kTileLanes)
  double column = 0.0;
  LaneSums sums = engine::no_sums();
  for (int first = 0; first < tile.rows; first += kRunRows) {
    const int rows = tile.rows - first < kRunRows ? tile.rows - first : kRunRows;
    double values[kRunRows];
#pragma unroll
    for (int i = 0; i < kRunRows; ++i) {
      values[i] =
          exists && i < rows ? engine::to_double(load_value(from + (first + i) * shared.source.row_stride)) : 0.0;
    }
    __syncthreads();  // the rows before have been folded
#pragma unroll
    for (int i = 0; i < kRunRows; ++i) {
      staged[i * kTileLanes + lane] = values[i];
    }
    column += fold_run(values);
    double magnitudes[kRunRows];
#pragma unroll
    for (int i = 0; i < kRunRows; ++i) {
      if (exists && i < rows) {
        engine::bound(sums, values[i], 1);
      }
      magnitudes[i] = fabs(values[i]);
      values[i] = exists && i < rows ? values[i] - shift : 0.0;
    }
    sums.abs_sum += fold_run(magnitudes);
    sums.sum += fold_run(values);
#pragma unroll
    for (int i = 0; i < kRunRows; ++i) {
      values[i] *= values[i];
    }
    sums.squares += fold_run(values);
    __syncthreads();
    fold_rows(tile, shared.place, staged, kTileLanes, first, rows, lane, engine::kThreads);
    // Tiles of the other types were counted as they were read first.
    if constexpr (kHistogram && sizeof(T) == sizeof(double)) {
      BinCounter counter = work.bins();
      for (int i = 0; exists && i < rows; ++i) {
        counter.count(staged[i * kTileLanes + lane]);
      }
    }
  }
  if (exists) {
    shared.place.columns[lane] = column;
  }
  __syncthreads();
  sums = fold_threads(sums, reinterpret_cast<LaneSums*>(staged));
  if (lane == 0) {
    work.tables.moments[blockIdx.x] = engine::moments_of(sums, shift);
  }
}

template <typename T, bool kHistogram>
__device__ void reduce_tile(const Work& work) {
  const Tile tile = work.tables.tiles[blockIdx.x];
  const Source source = source_of<T>(work.tables.matrices[tile.matrix], tile);
  bool done = false;
  if constexpr (sizeof(T) < sizeof(double)) {
    done = reduce_plain<T, kHistogram>(work, source, tile);
  } else {
    prepare(work.tables, tile, source, work.shared);
    __syncthreads();
  }
  if (!done) {
    reduce_carefully<T, kHistogram>(work);
  }
  if constexpr (kHistogram) {
    __syncthreads();
    work.bins().finish();
  }
}

/// One block per tile. Writes workspace and moments of `tables`; adds to the histogram of `row`.
template <bool kHistogram>
__global__ void __launch_bounds__(engine::kThreads, 2) reduce(const Tables tables, std::byte* row) {
  __shared__ Shared shared;
  __shared__ unsigned counters[kHistogram ? kCounters : 1];
  if constexpr (kHistogram) {
    for (int i = static_cast<int>(thread_of_block()); i < kCounters; i += engine::kThreads) {
      counters[i] = 0;
    }
    __syncthreads();
  }
  const Work work{tables, row, shared, counters};
  switch (tables.matrices[tables.tiles[blockIdx.x].matrix].dtype) {
    case engine::Dtype::kFloat32:
      reduce_tile<float, kHistogram>(work);
      break;
    case engine::Dtype::kFloat64:
      reduce_tile<double, kHistogram>(work);
      break;
    case engine::Dtype::kBFloat16:
      reduce_tile<engine::BFloat16, kHistogram>(work);
      break;
    case engine::Dtype::kFloat16:
      reduce_tile<engine::Float16, kHistogram>(work);
      break;
  }
}

}  // namespace

void fill_histograms(const Program& program, std::byte* row, bool histogram, cudaStream_t stream) {
  const Tables& tables = program.tables;
  if (tables.offsets.histogram >= 0) {
    // All bits set is -1: not asked for.
    const size_t bytes = static_cast<size_t>(tables.link_count * (tables.histogram_bins + 2)) * sizeof(int64_t);
    DYNASCOPE_CUDA_CHECK(cudaMemsetAsync(row + tables.offsets.histogram, histogram ? 0 : 0xFF, bytes, stream));
  }
}

void launch_reduce(const Program& program, std::byte* row, bool histogram, cudaStream_t stream) {
  const Tables& tables = program.tables;
  if (histogram && tables.offsets.histogram >= 0) {
    DYNASCOPE_LAUNCH(reduce<true>, tables.tile_count, stream, tables, row);
  } else {
    DYNASCOPE_LAUNCH(reduce<false>, tables.tile_count, stream, tables, row);
  }
}

}  // namespace dynascope::DYNASCOPE_DEVICE
