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
// time of their read; tiles of few lanes leave threads idle (of Nx1 all but one in four); a transposed view is read
// through the first-level cache; the histogram's counters meet in the bins around zero.

#include "device.cuh"
#include "launch.hpp"

namespace dynascope::DYNASCOPE_DEVICE {
namespace {

using engine::kRunRows;
using engine::kTileLanes;
using engine::LaneSums;
using engine::Matrix;
using engine::PlainSums;
using engine::Tables;
using engine::Tile;

constexpr int kWarps = engine::kThreads / engine::kWarp;
constexpr int kRoundRows = kWarps * kRunRows;
constexpr int kHalves = 2;  ///< groups of neighbouring lanes of a thread
constexpr int kGroup = 4;   ///< lanes of such a group
constexpr int kHalfLanes = kTileLanes / kHalves;
constexpr int kSums = 3;                    ///< of values, squares, magnitudes
constexpr int kStage = kSums * kTileLanes;  ///< floats of a warp's part of shared memory
constexpr int kCounters = 1024;             ///< bins that are counted in shared memory
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
static_assert(sizeof(Shared::stages) >= sizeof(LaneSums) * engine::kThreads);
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
  float* stage = shared.stages[warp_of_block()];
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
      add_lanes(run, stage);
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
  float* stage = shared.stages[warp_of_block()];
  Bounds<float> bounds;
  for (int round = 0; round < shared.tile.rows; round += kRoundRows) {
    const int left = rows_at(shared.tile, round);
    const int rows = left < kRunRows ? left : kRunRows;
    if (rows > 0) {
      RunValues<float> run;
      stage_run<kHistogram>(work, run_at<T>(shared.source, round), shared.tile.rows - left, rows, stage, run);
      bounds.add(run, rows, shared.tile.columns * shared.tile.taps);
      add_lanes(run, stage);
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
