// SPDX-License-Identifier: BSD-3-Clause

// One tile after another, each read once. A row of a tile is converted into a line of doubles, contiguous or not; every
// loop over lanes then is a loop over plain arrays that the compiler turns into vectors of whatever width there is.
// Additions within a lane go by rows, so the width changes no bit, and the loops may be compiled once per instruction
// set instead of being written by hand for each.

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

template <int kCount>
__attribute__((always_inline)) inline void add_lines(Lanes& all, double shift, int lanes) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (int lane = 0; lane < lanes; ++lane) {
    double column = all.column[lane];
    double sum = all.sum[lane];
    double squares = all.squares[lane];
    double abs_sum = all.abs_sum[lane];
    double min = all.min[lane];
    double max = all.max[lane];
    double nonfinite = all.nonfinite[lane];
    for (int i = 0; i < kCount; ++i) {
      const double value = all.lines[i][lane];
      const double difference = value - shift;
      const bool finite = value - value == 0.0;
      const double low = finite ? value : kInfinity;
      const double high = finite ? value : -kInfinity;
      column += value;
      sum += difference;
      squares += difference * difference;
      abs_sum += std::fabs(value);
      min = low < min ? low : min;
      max = high > max ? high : max;
      nonfinite += finite ? 0.0 : 1.0;
    }
    all.column[lane] = column;
    all.sum[lane] = sum;
    all.squares[lane] = squares;
    all.abs_sum[lane] = abs_sum;
    all.min[lane] = min;
    all.max[lane] = max;
    all.nonfinite[lane] = nonfinite;
  }
}

DYNASCOPE_CLONES void add_all_lines(Lanes& all, double shift, int lanes) { add_lines<kLines>(all, shift, lanes); }
DYNASCOPE_CLONES void add_one_line(Lanes& all, double shift, int lanes) { add_lines<1>(all, shift, lanes); }

// Eight runs of a line of single taps, in registers.
DYNASCOPE_CLONES double sum_runs(const double* __restrict line, int lanes) {
  double runs[kRuns] = {};
  const int whole = lanes / kRuns * kRuns;
  for (int first = 0; first < whole; first += kRuns) {
    for (int i = 0; i < kRuns; ++i) {
      runs[i] += line[first + i];
    }
  }
  for (int i = 0; i < lanes - whole; ++i) {
    runs[i] += line[whole + i];
  }
  return fold(runs, kRuns, [](double a, double b) { return a + b; });
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

// Elements from row 0 to each lane; true when the lanes follow each other in memory.
bool lane_offsets(const Matrix& matrix, const Tile& tile, int64_t* offsets) {
  bool contiguous = true;
  int lane = 0;
  for (int64_t column = 0; column < tile.columns; ++column) {
    for (int64_t tap = 0; tap < tile.taps; ++tap, ++lane) {
      offsets[lane] = lane_offset(matrix, tile.first_column + column, tile.first_tap + tap);
      contiguous = contiguous && offsets[lane] == offsets[0] + lane;
    }
  }
  return contiguous;
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

Moments moments_of_lanes(const Lanes& all, int rows, int lanes, double shift) {
  LaneSums sums[kTileLanes];
  int width = 1;
  while (width < lanes) {
    width *= 2;
  }
  for (int lane = 0; lane < width; ++lane) {
    sums[lane] = lane < lanes ? LaneSums{rows,
                                         static_cast<int64_t>(all.nonfinite[lane]),
                                         all.sum[lane],
                                         all.squares[lane],
                                         all.abs_sum[lane],
                                         all.min[lane],
                                         all.max[lane]}
                              : no_sums();
  }
  return moments_of(fold(sums, width, join), shift);
}

void store_row_partials(const Tables& tables, const Matrix& matrix, const Tile& tile, const TilePosition& position,
                        int64_t row, const double* line, double* runs) {
  if (matrix.taps == 1) {
    tables.workspace[row_partial(matrix, row, 0, position)] = sum_runs(line, tile.columns);
    return;
  }
  add_runs(line, runs, tile.columns * tile.taps, tile.taps);
  for (int tap = 0; tap < tile.taps; ++tap) {
    tables.workspace[row_partial(matrix, row, tile.first_tap + tap, position)] = runs[tap];
  }
}

void reduce_tile(const Tables& tables, int64_t index, Lanes& all, Counts* counts) {
  const Tile& tile = tables.tiles[index];
  const Matrix& matrix = tables.matrices[tile.matrix];
  const TilePosition position = position_of(matrix, index);
  const int lanes = tile.columns * tile.taps;
  int64_t offsets[kTileLanes];
  const bool contiguous = lane_offsets(matrix, tile, offsets);
  const double shift = shift_of(load(matrix.data, matrix.dtype, tile.first_row * matrix.row_stride + offsets[0]));
  for (double* zeros : {all.column, all.sum, all.squares, all.abs_sum, all.nonfinite}) {
    std::fill_n(zeros, lanes, 0.0);
  }
  std::fill_n(all.min, lanes, std::numeric_limits<double>::infinity());
  std::fill_n(all.max, lanes, -std::numeric_limits<double>::infinity());

  for (int first = 0; first < tile.rows; first += kLines) {
    const int count = std::min(kLines, tile.rows - first);
    for (int i = 0; i < count; ++i) {
      const int64_t row = tile.first_row + first + i;
      double* line = all.lines[count == kLines ? i : 0];
      read_line(matrix, tile, offsets, contiguous, row, line);
      if (count < kLines) {
        add_one_line(all, shift, lanes);
      }
      store_row_partials(tables, matrix, tile, position, row, line, all.runs);
      if (counts != nullptr) {
        counts->add(matrix.weight_layer, line, lanes);
      }
    }
    if (count == kLines) {
      add_all_lines(all, shift, lanes);
    }
  }
  for (int column = 0; column < tile.columns; ++column) {
    std::copy_n(all.column + column * tile.taps, tile.taps,
                tables.workspace + column_partial(matrix, tile.first_column + column, tile.first_tap, position));
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
