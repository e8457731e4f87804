// SPDX-License-Identifier: BSD-3-Clause

// Every weight is read once, along whole rows: tiles that lie side by side are added together, run by run, because tile
// after tile is slower where the caches are too small. Values that are not contiguous float32 pass through a buffer.
// Threads take strips of such tiles from one queue, so that a slow thread holds up nobody; where a sum goes is the
// tile's business alone.

#include "engine/cpu/counts.hpp"
#include "engine/cpu/kernels.hpp"
#include "engine/cpu/passes.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

namespace dynascope::engine::cpu {
namespace {

constexpr float kNoRow[kTileLanes + kMinima] = {};
constexpr int kStrip = 16;  // tiles: their lanes stay in the second-level cache

struct alignas(64) Scratch {
  PlainLanes plain[kStrip];
  CarefulLanes careful;
  double row_sums[kRunRows * kTileLanes + kMinima];
  float brief[kRunRows][kTileLanes + kMinima];
  double wide[kRunRows][kTileLanes];
  int64_t offsets[kStrip][kTileLanes];
};

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

class TileReader {
 public:
  // `offsets` keeps those of the lanes.
  TileReader(const Matrix& matrix, const Tile& tile, int64_t* offsets)
      : matrix_(matrix),
        tile_(tile),
        lanes_(tile.columns * tile.taps),
        contiguous_(lanes_follow(matrix, tile)),
        offsets_(offsets) {
    for (int lane = 0; lane < (contiguous_ ? std::min(lanes_, 1) : lanes_); ++lane) {
      offsets_[lane] = lane_offset(matrix, tile.first_column + lane / tile.taps, tile.first_tap + lane % tile.taps);
    }
  }

  int lanes() const { return lanes_; }
  const float* at(int row) const { return static_cast<const float*>(matrix_.data) + first(row); }

  // True when `count` rows of float32 may be read where they lie, up to whole vectors, without leaving the matrix.
  bool in_place(int first_row, int count) const {
    const int64_t end = (matrix_.rows - 1) * matrix_.row_stride + matrix_.columns * matrix_.taps;
    return contiguous_ && matrix_.dtype == Dtype::kFloat32 &&
           first(first_row + count - 1) + readable_lanes(tile_.columns, tile_.taps) <= end;
  }

  // Where a row lies, if it does so in one piece of float32: to be fetched, not read.
  const float* piece(int row) const { return contiguous_ && matrix_.dtype == Dtype::kFloat32 ? at(row) : kNoRow; }

  double first_value() const { return load(matrix_.data, matrix_.dtype, first(0)); }

  // Rows `first_row` and on, each to its line of `to`.
  template <typename To, size_t kWidth>
  void read(int first_row, int count, To (*to)[kWidth]) const {
    switch (matrix_.dtype) {
      case Dtype::kFloat64:
        return read_as<double>(first_row, count, to);
      case Dtype::kBFloat16:
        return read_as<BFloat16>(first_row, count, to);
      case Dtype::kFloat16:
        return read_as<Float16>(first_row, count, to);
      default:
        return read_as<float>(first_row, count, to);
    }
  }

 private:
  int64_t first(int row) const { return (tile_.first_row + row) * matrix_.row_stride + offsets_[0]; }

  template <typename T, typename To, size_t kWidth>
  void read_as(int first_row, int count, To (*to)[kWidth]) const {
    const T* from = static_cast<const T*>(matrix_.data) + (tile_.first_row + first_row) * matrix_.row_stride;
    if (contiguous_) {
      for (int i = 0; i < count; ++i) {
        convert(from + i * matrix_.row_stride + offsets_[0], to[i]);
      }
      return;
    }
    // Lane by lane: where rows are contiguous instead, that is the order of memory.
    for (int lane = 0; lane < lanes_; ++lane) {
      const T* at_lane = from + offsets_[lane];
      for (int i = 0; i < count; ++i) {
        to[i][lane] = static_cast<To>(to_double(at_lane[i * matrix_.row_stride]));
      }
    }
  }

  template <typename T, typename To>
  void convert(const T* from, To* to) const {
    for (int lane = 0; lane < lanes_; ++lane) {
      to[lane] = static_cast<To>(to_double(from[lane]));
    }
  }
  void convert(const BFloat16* from, float* to) const { kernels().widen_bfloat16(from, to, lanes_); }
  void convert(const Float16* from, float* to) const { kernels().widen_float16(from, to, lanes_); }

  const Matrix& matrix_;
  const Tile& tile_;
  int lanes_;
  bool contiguous_;
  int64_t* offsets_;
};

class TileReduction {
 public:
  TileReduction(const Tables& tables, int64_t index, Scratch& scratch, int place)
      : tables_(tables),
        index_(index),
        tile_(tables.tiles[index]),
        matrix_(tables.matrices[tile_.matrix]),
        position_(position_of(matrix_, index)),
        reader_(matrix_, tile_, scratch.offsets[place]),
        scratch_(scratch),
        plain_(scratch.plain[place]) {}

  bool is_short() const { return matrix_.dtype != Dtype::kFloat64; }
  int rows() const { return tile_.rows; }

  // Rows `first` and on, with short sums; the run of `next` from row `next_first` on will be the next.
  void add_run(int first, const TileReduction& next, int next_first) {
    Run<float> run = empty_run<float>(first);
    const bool in_place = reader_.in_place(first, run.count);
    if (!in_place) {
      reader_.read(first, run.count, scratch_.brief);
    }
    for (int i = 0; i < kRunRows; ++i) {
      run.rows[i] = i >= run.count ? kNoRow : in_place ? reader_.at(first + i) : scratch_.brief[i];
      run.ahead[i] = next.reader_.piece(std::min(next_first + i, next.tile_.rows - 1));
    }
    kernels().add_plain(run, plain_, row_sums(first));
    store_rows(first, run.count);
  }

  // After all runs: true when they tell all; else only row partials were written.
  bool finish() {
    PlainSums sums{};
    kernels().fold_plain(plain_, reader_.lanes(), sums);
    sums.count = int64_t{tile_.rows} * reader_.lanes();
    if (!is_plain(sums)) {
      return false;
    }
    store_columns(plain_.column);
    tables_.moments[index_] = moments_of_plain(sums);
    return true;
  }

  void add_carefully() {
    CarefulLanes& lanes = scratch_.careful;
    clear(lanes, reader_.lanes());
    const double shift = shift_of(reader_.first_value());
    for (int first = 0; first < tile_.rows; first += kRunRows) {
      Run<double> run = empty_run<double>(first);
      reader_.read(first, run.count, scratch_.wide);
      for (int i = 0; i < kRunRows; ++i) {
        if (i >= run.count) {
          std::fill_n(scratch_.wide[i], reader_.lanes(), 0.0);
        }
        run.rows[i] = scratch_.wide[i];
      }
      kernels().add_careful(run, shift, lanes, row_sums(first));
      store_rows(first, run.count);
    }
    LaneSums sums{};
    kernels().fold_careful(lanes, reader_.lanes(), sums);
    sums.count = int64_t{tile_.rows} * reader_.lanes();
    store_columns(lanes.column);
    tables_.moments[index_] = moments_of(sums, shift);
  }

  void count(Counts& counts) {
    for (int first = 0; first < tile_.rows; first += kRunRows) {
      const int rows = std::min(kRunRows, tile_.rows - first);
      if (is_short()) {
        count_rows(counts, first, rows, scratch_.brief);
      } else {
        count_rows(counts, first, rows, scratch_.wide);
      }
    }
  }

 private:
  template <typename T, size_t kWidth>
  void count_rows(Counts& counts, int first, int rows, T (*values)[kWidth]) {
    reader_.read(first, rows, values);
    for (int i = 0; i < rows; ++i) {
      counts.add(matrix_.weight_layer, values[i], reader_.lanes());
    }
  }

  template <typename T>
  Run<T> empty_run(int first_row) const {
    return {
        {}, {}, std::min(kRunRows, tile_.rows - first_row), reader_.lanes(), tile_.columns, tile_.taps, first_row == 0};
  }

  // Row partials of a run go straight to their places, but where a tile has only some of the taps, and where what is
  // spilled after them would reach places of another tile.
  bool goes_straight(int first) const {
    const int spilled = spilled_sums(tile_.columns, tile_.taps);
    return tile_.taps == matrix_.taps && (spilled == 0 || (tile_.rows - first - kRunRows) * tile_.taps >= spilled);
  }

  double* row_sums(int first) {
    return goes_straight(first) ? tables_.workspace + row_partial(matrix_, tile_.first_row + first, 0, position_)
                                : scratch_.row_sums;
  }

  void store_rows(int first, int count) {
    for (int i = 0; !goes_straight(first) && i < count; ++i) {
      std::copy_n(scratch_.row_sums + i * tile_.taps, tile_.taps,
                  tables_.workspace + row_partial(matrix_, tile_.first_row + first + i, tile_.first_tap, position_));
    }
  }

  void store_columns(const double* column) {
    if (tile_.taps == matrix_.taps) {
      std::copy_n(column, reader_.lanes(),
                  tables_.workspace + column_partial(matrix_, tile_.first_column, 0, position_));
      return;
    }
    for (int i = 0; i < tile_.columns; ++i) {
      std::copy_n(column + i * tile_.taps, tile_.taps,
                  tables_.workspace + column_partial(matrix_, tile_.first_column + i, tile_.first_tap, position_));
    }
  }

  const Tables& tables_;
  const int64_t index_;
  const Tile& tile_;
  const Matrix& matrix_;
  const TilePosition position_;
  const TileReader reader_;
  Scratch& scratch_;
  PlainLanes& plain_;
};

// `count` tiles side by side.
void reduce_strip(const Tables& tables, int64_t first_tile, int count, Scratch& scratch, Counts* counts) {
  std::optional<TileReduction> tiles[kStrip];
  for (int i = 0; i < count; ++i) {
    tiles[i].emplace(tables, first_tile + i, scratch, i);
  }
  for (int row = 0; tiles[0]->is_short() && row < tiles[0]->rows(); row += kRunRows) {
    for (int i = 0; i + 1 < count; ++i) {
      tiles[i]->add_run(row, *tiles[i + 1], row);
    }
    tiles[count - 1]->add_run(row, *tiles[0], row + kRunRows);
  }
  for (int i = 0; i < count; ++i) {
    if (!tiles[i]->is_short() || !tiles[i]->finish()) {
      tiles[i]->add_carefully();
    }
    if (counts != nullptr) {
      tiles[i]->count(*counts);
    }
  }
}

// How many tiles from `first` on lie side by side.
int strip_at(const Tables& tables, int64_t first) {
  const Tile& tile = tables.tiles[first];
  int count = 1;
  while (count < kStrip && first + count < tables.tile_count) {
    const Tile& next = tables.tiles[first + count];
    if (next.matrix != tile.matrix || next.first_row != tile.first_row) {
      break;
    }
    ++count;
  }
  return count;
}

}  // namespace

void reduce(const Tables& tables, std::byte* row, bool histogram) {
  constexpr int64_t kTilesPerThread = 4;  // 64K elements: below, threads cost more than they save
  std::mutex mutex;
  std::mutex queue;
  int64_t next = 0;
  const auto take = [&](int64_t& first) {
    const std::lock_guard<std::mutex> lock(queue);
    first = next;
    const int count = first < tables.tile_count ? strip_at(tables, first) : 0;
    next += count;
    return count;
  };
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), tables.tile_count / kTilesPerThread);
  at::parallel_for(0, std::max<int64_t>(threads, 1), 1, [&](int64_t /*begin*/, int64_t /*end*/) {
    Scratch scratch;
    std::optional<Counts> counts;
    if (histogram) {
      counts.emplace(tables, row, mutex);
    }
    int64_t first = 0;
    for (int count = take(first); count > 0; count = take(first)) {
      reduce_strip(tables, first, count, scratch, counts ? &*counts : nullptr);
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
