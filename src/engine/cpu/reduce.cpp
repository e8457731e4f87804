// SPDX-License-Identifier: BSD-3-Clause

// One tile after another, each read once from memory. Eight rows are added in one go, eight lanes at a time, so that
// all sums stay in registers; the vectors are written as such, of eight doubles, because the runs of a row are lanes of
// a vector, a sum that no compiler reorders by itself. Additions within a lane go by rows and within a run by columns,
// whatever the width of the registers, so the same source may be compiled once per instruction set and no bit changes.
//
// Most weights are finite. A tile is first added without asking; where its sum of absolute values turns out not to be
// finite, it is added again, value by value.

#include "engine/arithmetic.hpp"
#include "engine/cpu/passes.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

// Sanitizers start before the loader can choose a clone.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define DYNASCOPE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DYNASCOPE_CLONES
#endif

namespace dynascope::engine::cpu {
namespace {

constexpr int kLines = 8;  // rows that are added in one go, so that sums are loaded and stored once for all of them

// What a tile gathers, lane by lane, and the lines that are being added.
struct alignas(64) Lanes {
  double lines[kLines][kTileLanes];
  double column[kTileLanes];
  double sum[kTileLanes];
  double squares[kTileLanes];
  double abs_sum[kTileLanes];
  double min[kTileLanes];
  double max[kTileLanes];
  double nonfinite[kTileLanes];  // counts at most kTileRows, exact
  double runs[kRuns * kTileLanes];
};

DYNASCOPE_CLONES void convert(const float* __restrict from, double* __restrict line, int lanes) {
  for (int lane = 0; lane < lanes; ++lane) {
    line[lane] = static_cast<double>(from[lane]);
  }
}

DYNASCOPE_CLONES void convert(const BFloat16* __restrict from, double* __restrict line, int lanes) {
  for (int lane = 0; lane < lanes; ++lane) {
    line[lane] = to_double(from[lane]);
  }
}

DYNASCOPE_CLONES void convert(const Float16* __restrict from, double* __restrict line, int lanes) {
  for (int lane = 0; lane < lanes; ++lane) {
    line[lane] = to_double(from[lane]);
  }
}

// Eight lanes.
using Vector __attribute__((vector_size(64))) = double;
using UnalignedDoubles __attribute__((vector_size(64), aligned(8), may_alias)) = double;
using UnalignedFloats __attribute__((vector_size(32), aligned(4), may_alias)) = float;
using Bits __attribute__((vector_size(64))) = int64_t;
static_assert(kRuns == sizeof(Vector) / sizeof(double), "a vector holds the runs of a row");

#define DYNASCOPE_INLINE __attribute__((always_inline)) inline

DYNASCOPE_INLINE void load_lanes(const double* from, Vector& to) {
  to = *reinterpret_cast<const UnalignedDoubles*>(from);
}
DYNASCOPE_INLINE void load_lanes(const float* from, Vector& to) {
  to = __builtin_convertvector(*reinterpret_cast<const UnalignedFloats*>(from), Vector);
}
DYNASCOPE_INLINE Vector& lanes_at(double* values, int lane) { return *reinterpret_cast<Vector*>(values + lane); }

// kRows rows of a tile, `rows` pointing to their first lanes; with kWithRuns also the runs of single taps, one row of
// `runs` each.
template <int kRows, bool kWithRuns, typename T>
DYNASCOPE_INLINE void add_rows(const T* const* rows, Lanes& all, double shift, int lanes) {
  const Bits magnitude = Bits{} + 0x7FFFFFFFFFFFFFFF;
  Vector runs[kRows] = {};
  int lane = 0;
  for (; lane + kRuns <= lanes; lane += kRuns) {
    Vector column = lanes_at(all.column, lane);
    Vector sum = lanes_at(all.sum, lane);
    Vector squares = lanes_at(all.squares, lane);
    Vector abs_sum = lanes_at(all.abs_sum, lane);
    Vector min = lanes_at(all.min, lane);
    Vector max = lanes_at(all.max, lane);
    for (int i = 0; i < kRows; ++i) {
      Vector value;
      load_lanes(rows[i] + lane, value);
      const Vector difference = value - shift;
      runs[i] += value;
      column += value;
      sum += difference;
      squares += difference * difference;
      abs_sum += reinterpret_cast<Vector>(reinterpret_cast<Bits>(value) & magnitude);
      min = value < min ? value : min;
      max = value > max ? value : max;
    }
    lanes_at(all.column, lane) = column;
    lanes_at(all.sum, lane) = sum;
    lanes_at(all.squares, lane) = squares;
    lanes_at(all.abs_sum, lane) = abs_sum;
    lanes_at(all.min, lane) = min;
    lanes_at(all.max, lane) = max;
  }
  for (int i = 0; i < kRows; ++i) {
    double* row_runs = all.runs + i * kRuns;
    for (int run = 0; kWithRuns && run < kRuns; ++run) {
      row_runs[run] = runs[i][run];
    }
    for (int rest = lane; rest < lanes; ++rest) {
      const double value = static_cast<double>(rows[i][rest]);
      const double difference = value - shift;
      if (kWithRuns) {
        row_runs[rest - lane] += value;
      }
      all.column[rest] += value;
      all.sum[rest] += difference;
      all.squares[rest] += difference * difference;
      all.abs_sum[rest] += std::fabs(value);
      all.min[rest] = value < all.min[rest] ? value : all.min[rest];
      all.max[rest] = value > all.max[rest] ? value : all.max[rest];
    }
  }
}

// One row or all of kLines, single taps or not, as one function per type to be cloned.
template <typename T>
DYNASCOPE_INLINE void add_any(const T* const* rows, int count, bool with_runs, Lanes& all, double shift, int lanes) {
  if (count == kLines && with_runs) {
    add_rows<kLines, true>(rows, all, shift, lanes);
  } else if (count == kLines) {
    add_rows<kLines, false>(rows, all, shift, lanes);
  } else if (with_runs) {
    add_rows<1, true>(rows, all, shift, lanes);
  } else {
    add_rows<1, false>(rows, all, shift, lanes);
  }
}

DYNASCOPE_CLONES void add_finite(const float* const* rows, int count, bool with_runs, Lanes& all, double shift,
                                 int lanes) {
  add_any(rows, count, with_runs, all, shift, lanes);
}
DYNASCOPE_CLONES void add_finite(const double* const* rows, int count, bool with_runs, Lanes& all, double shift,
                                 int lanes) {
  add_any(rows, count, with_runs, all, shift, lanes);
}

// Any values, one row: what is not finite is counted, and bounds nothing.
DYNASCOPE_CLONES void add_line(const double* __restrict line, Lanes& all, double shift, int lanes) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (int lane = 0; lane < lanes; ++lane) {
    const double value = line[lane];
    const double difference = value - shift;
    const bool finite = value - value == 0.0;
    const double low = finite ? value : kInfinity;
    const double high = finite ? value : -kInfinity;
    all.column[lane] += value;
    all.sum[lane] += difference;
    all.squares[lane] += difference * difference;
    all.abs_sum[lane] += std::fabs(value);
    all.min[lane] = low < all.min[lane] ? low : all.min[lane];
    all.max[lane] = high > all.max[lane] ? high : all.max[lane];
    all.nonfinite[lane] += finite ? 0.0 : 1.0;
  }
}

// runs[run * taps + tap] of a line: columns in order, each to run column % kRuns.
DYNASCOPE_CLONES void add_runs(const double* __restrict line, double* __restrict runs, int lanes, int taps) {
  const int width = kRuns * taps;
  for (int i = 0; i < width; ++i) {
    runs[i] = 0.0;
  }
  for (int first = 0; first < lanes; first += width) {
    const int count = lanes - first < width ? lanes - first : width;
    for (int i = 0; i < count; ++i) {
      runs[i] += line[first + i];
    }
  }
  for (int half = width / 2; half >= taps; half /= 2) {
    for (int i = 0; i < half; ++i) {
      runs[i] += runs[i + half];
    }
  }
}

void read_line(const Matrix& matrix, const Tile& tile, const int64_t* offsets, bool contiguous, int64_t row,
               double* line) {
  const int lanes = tile.columns * tile.taps;
  const int64_t base = row * matrix.row_stride;
  if (!contiguous) {
    for (int lane = 0; lane < lanes; ++lane) {
      line[lane] = load(matrix.data, matrix.dtype, base + offsets[lane]);
    }
    return;
  }
  const int64_t first = base + offsets[0];
  switch (matrix.dtype) {
    case Dtype::kFloat64:
      std::copy_n(static_cast<const double*>(matrix.data) + first, lanes, line);
      break;
    case Dtype::kBFloat16:
      convert(static_cast<const BFloat16*>(matrix.data) + first, line, lanes);
      break;
    case Dtype::kFloat16:
      convert(static_cast<const Float16*>(matrix.data) + first, line, lanes);
      break;
    default:
      convert(static_cast<const float*>(matrix.data) + first, line, lanes);
  }
}

// True when the lanes of a row follow each other in memory, whatever the strides of axes of size 1 say.
bool lanes_follow(const Matrix& matrix, const Tile& tile) {
  int64_t stride = 1;
  for (int axis = 2; axis >= 0; --axis) {
    if (matrix.kernel[axis] != 1 && matrix.tap_stride[axis] != stride) {
      return false;
    }
    stride *= matrix.kernel[axis];
  }
  return tile.columns == 1 || matrix.column_stride == stride;
}

// Elements from row 0 to each lane; of contiguous lanes only to the first.
void lane_offsets(const Matrix& matrix, const Tile& tile, bool contiguous, int64_t* offsets) {
  int lane = 0;
  for (int64_t column = 0; column < tile.columns; ++column) {
    for (int64_t tap = 0; tap < tile.taps; ++tap, ++lane) {
      offsets[lane] = lane_offset(matrix, tile.first_column + column, tile.first_tap + tap);
      if (contiguous) {
        return;
      }
    }
  }
}

// Counts of one weight layer, gathered by one thread.
class Counts {
 public:
  Counts(const Tables& tables, std::byte* row, std::mutex& mutex)
      : tables_(tables), row_(row), mutex_(mutex), slots_(static_cast<size_t>(tables.histogram_bins) + 2) {}
  ~Counts() { flush(); }
  Counts(const Counts&) = delete;
  Counts& operator=(const Counts&) = delete;

  void add(int64_t link, const double* line, int lanes) {
    if (link != link_) {
      flush();
      link_ = link;
      axis_ = histogram_axis(tables_, link);
    }
    for (int lane = 0; lane < lanes; ++lane) {
      const int64_t slot = bin_of(axis_, line[lane]);
      if (slot >= 0) {
        ++slots_[static_cast<size_t>(slot)];
      }
    }
  }

 private:
  void flush() {
    if (link_ < 0) {
      return;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    auto* counts =
        reinterpret_cast<int64_t*>(row_ + tables_.offsets.histogram) + link_ * static_cast<int64_t>(slots_.size());
    for (size_t slot = 0; slot < slots_.size(); ++slot) {
      counts[slot] += std::exchange(slots_[slot], 0);
    }
  }

  const Tables& tables_;
  std::byte* row_;
  std::mutex& mutex_;
  std::vector<int64_t> slots_;
  HistogramAxis axis_{};
  int64_t link_ = -1;
};

// fold() over lanes, `neutral` where there is none.
template <typename Join>
DYNASCOPE_INLINE double fold_lanes(double* values, int lanes, int width, double neutral, Join join) {
  for (int lane = lanes; lane < width; ++lane) {
    values[lane] = neutral;
  }
  for (int half = width / 2; half > 0; half /= 2) {
    double* __restrict low = values;
    const double* __restrict high = values + half;
    for (int lane = 0; lane < half; ++lane) {
      low[lane] = join(low[lane], high[lane]);
    }
  }
  return values[0];
}

// The fold of join(), array by array.
DYNASCOPE_CLONES void fold_all(Lanes& all, int lanes, LaneSums& sums) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  int width = 1;
  while (width < lanes) {
    width *= 2;
  }
  const auto add = [](double a, double b) { return a + b; };
  sums.sum = fold_lanes(all.sum, lanes, width, 0.0, add);
  sums.squares = fold_lanes(all.squares, lanes, width, 0.0, add);
  sums.abs_sum = fold_lanes(all.abs_sum, lanes, width, 0.0, add);
  sums.min = fold_lanes(all.min, lanes, width, kInfinity, [](double a, double b) { return b < a ? b : a; });
  sums.max = fold_lanes(all.max, lanes, width, -kInfinity, [](double a, double b) { return b > a ? b : a; });
  sums.nonfinite = static_cast<int64_t>(fold_lanes(all.nonfinite, lanes, width, 0.0, add));
}

Moments moments_of_lanes(Lanes& all, int rows, int lanes, double shift) {
  LaneSums sums;
  fold_all(all, lanes, sums);
  sums.count = static_cast<int64_t>(rows) * lanes;
  return moments_of(sums, shift);
}

void store_row_partials(const Tables& tables, const Matrix& matrix, const Tile& tile, const TilePosition& position,
                        int64_t row, const double* line, double* runs) {
  add_runs(line, runs, tile.columns * tile.taps, tile.taps);
  for (int tap = 0; tap < tile.taps; ++tap) {
    tables.workspace[row_partial(matrix, row, tile.first_tap + tap, position)] = runs[tap];
  }
}

// What a tile is added from and to.
struct TileWork {
  const Tables& tables;
  const Matrix& matrix;
  const Tile& tile;
  TilePosition position;
  int lanes;
  const int64_t* offsets;
  bool contiguous;
  double shift;
};

void clear(Lanes& all, int lanes) {
  for (double* zeros : {all.column, all.sum, all.squares, all.abs_sum, all.nonfinite}) {
    std::fill_n(zeros, lanes, 0.0);
  }
  std::fill_n(all.min, lanes, std::numeric_limits<double>::infinity());
  std::fill_n(all.max, lanes, -std::numeric_limits<double>::infinity());
}

void store_runs(const TileWork& work, int64_t row, double* runs) {
  work.tables.workspace[row_partial(work.matrix, row, 0, work.position)] =
      fold(runs, kRuns, [](double a, double b) { return a + b; });
}

// Adds the tile as if all were finite; true when it was.
bool add_tile(const TileWork& work, Lanes& all) {
  const Matrix& matrix = work.matrix;
  const Tile& tile = work.tile;
  const bool single = matrix.taps == 1;
  const bool in_place =
      work.contiguous && single && (matrix.dtype == Dtype::kFloat32 || matrix.dtype == Dtype::kFloat64);
  for (int first = 0; first < tile.rows;) {
    const int count = tile.rows - first >= kLines ? kLines : 1;
    const double* lines[kLines];
    const float* floats[kLines];
    for (int i = 0; i < count; ++i) {
      const int64_t row = tile.first_row + first + i;
      const int64_t element = row * matrix.row_stride + work.offsets[0];
      if (in_place && matrix.dtype == Dtype::kFloat32) {
        floats[i] = static_cast<const float*>(matrix.data) + element;
      } else if (in_place) {
        lines[i] = static_cast<const double*>(matrix.data) + element;
      } else {
        read_line(matrix, tile, work.offsets, work.contiguous, row, all.lines[i]);
        lines[i] = all.lines[i];
        if (!single) {
          store_row_partials(work.tables, matrix, tile, work.position, row, all.lines[i], all.runs);
        }
      }
    }
    if (in_place && matrix.dtype == Dtype::kFloat32) {
      add_finite(floats, count, single, all, work.shift, work.lanes);
    } else {
      add_finite(lines, count, single, all, work.shift, work.lanes);
    }
    for (int i = 0; single && i < count; ++i) {
      store_runs(work, tile.first_row + first + i, all.runs + i * kRuns);
    }
    first += count;
  }
  return std::all_of(all.abs_sum, all.abs_sum + work.lanes, [](double sum) { return is_finite(sum); });
}

// Row sums are as add_tile left them: they do not ask what is finite.
void add_tile_carefully(const TileWork& work, Lanes& all) {
  for (int64_t row = work.tile.first_row; row < work.tile.first_row + work.tile.rows; ++row) {
    read_line(work.matrix, work.tile, work.offsets, work.contiguous, row, all.lines[0]);
    add_line(all.lines[0], all, work.shift, work.lanes);
  }
}

void count_tile(const TileWork& work, Lanes& all, Counts& counts) {
  for (int64_t row = work.tile.first_row; row < work.tile.first_row + work.tile.rows; ++row) {
    read_line(work.matrix, work.tile, work.offsets, work.contiguous, row, all.lines[0]);
    counts.add(work.matrix.weight_layer, all.lines[0], work.lanes);
  }
}

void reduce_tile(const Tables& tables, int64_t index, Lanes& all, Counts* counts) {
  const Tile& tile = tables.tiles[index];
  const Matrix& matrix = tables.matrices[tile.matrix];
  const int lanes = tile.columns * tile.taps;
  int64_t offsets[kTileLanes];
  const bool contiguous = lanes_follow(matrix, tile);
  lane_offsets(matrix, tile, contiguous, offsets);
  const double shift = shift_of(load(matrix.data, matrix.dtype, tile.first_row * matrix.row_stride + offsets[0]));
  const TileWork work{tables, matrix, tile, position_of(matrix, index), lanes, offsets, contiguous, shift};

  clear(all, lanes);
  if (!add_tile(work, all)) {
    clear(all, lanes);
    add_tile_carefully(work, all);
  }
  if (counts != nullptr) {
    count_tile(work, all, *counts);
  }
  for (int column = 0; column < tile.columns; ++column) {
    std::copy_n(all.column + column * tile.taps, tile.taps,
                tables.workspace + column_partial(matrix, tile.first_column + column, tile.first_tap, work.position));
  }
  tables.moments[index] = moments_of_lanes(all, tile.rows, lanes, shift);
}

}  // namespace

void reduce(const Tables& tables, std::byte* row, bool histogram) {
  std::mutex mutex;
  constexpr int64_t kTilesPerThread = 4;  // 64K elements: below, threads cost more than they save
  at::parallel_for(0, tables.tile_count, kTilesPerThread, [&](int64_t begin, int64_t end) {
    Lanes all;
    Counts counts(tables, row, mutex);
    for (int64_t tile = begin; tile < end; ++tile) {
      reduce_tile(tables, tile, all, histogram ? &counts : nullptr);
    }
  });
}

void copy_parameters(const Tables& tables, std::byte* row) {
  for (int64_t i = 0; i < tables.copy_count; ++i) {
    const Copy& copy = tables.copies[i];
    at::parallel_for(0, copy.count, 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t index = begin; index < end; ++index) {
        store_copy(copy, row, index);
      }
    });
  }
}

}  // namespace dynascope::engine::cpu
