// SPDX-License-Identifier: BSD-3-Clause

// Partials to sums. Runs of a sum stand side by side in small arrays, many neighbouring sums at once, so that partials
// are read in the order in which they lie.

#include "engine/arithmetic.hpp"
#include "engine/cpu/passes.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

namespace dynascope::engine::cpu {
namespace {

constexpr int64_t kGrain = 1 << 14;  // partials; below, threads cost more than they save

// Partial k of every sum lies `stride` after partial k - 1; kCount neighbouring sums lie side by side.
template <int kCount>
void combine_neighbours(const double* partials, int64_t blocks, int64_t stride, double* sums) {
  const int used = runs_of(blocks);
  double runs[kCombineRuns][kCount];
  for (int64_t block = 0; block < blocks; ++block) {
    double* run = runs[block % kCombineRuns];
    const double* from = partials + block * stride;
    for (int i = 0; i < kCount; ++i) {
      run[i] = block < kCombineRuns ? from[i] : run[i] + from[i];
    }
  }
  for (int64_t run = blocks; run < used; ++run) {
    std::fill_n(runs[run], kCount, 0.0);
  }
  for (int half = used / 2; half > 0; half /= 2) {
    for (int run = 0; run < half; ++run) {
      for (int i = 0; i < kCount; ++i) {
        runs[run][i] += runs[run + half][i];
      }
    }
  }
  std::copy_n(runs[0], kCount, sums);
}

void combine_side_by_side(const double* partials, int64_t blocks, int64_t stride, int64_t count, double* sums) {
  constexpr int kMany = 32;
  constexpr int kSome = 8;
  int64_t i = 0;
  for (; i + kMany <= count; i += kMany) {
    combine_neighbours<kMany>(partials + i, blocks, stride, sums + i);
  }
  for (; i + kSome <= count; i += kSome) {
    combine_neighbours<kSome>(partials + i, blocks, stride, sums + i);
  }
  for (; i < count; ++i) {
    combine_neighbours<1>(partials + i, blocks, stride, sums + i);
  }
}

void combine_sums(const double* partials, int64_t blocks, int64_t count, double* sums) {
  const int64_t grain = std::max<int64_t>(16, kGrain / std::max<int64_t>(1, blocks));
  at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    combine_side_by_side(partials + begin, blocks, count, end - begin, sums + begin);
  });
}

void combine_matrix(const Tables& tables, const Matrix& matrix) {
  if (matrix.row_partials != matrix.row_sums) {
    combine_sums(tables.workspace + matrix.row_partials, matrix.column_blocks, matrix.rows * matrix.taps,
                 tables.workspace + matrix.row_sums);
  }
  const int64_t lanes = matrix.columns * matrix.taps;
  for (int64_t group = 0; matrix.column_partials != matrix.column_sums && group < matrix.groups; ++group) {
    combine_sums(tables.workspace + matrix.column_partials + group * matrix.row_blocks * lanes, matrix.row_blocks,
                 lanes, tables.workspace + matrix.column_sums + group * lanes);
  }
}

void store_plain_sums(const Tables& tables, const LinkPlan& link, std::byte* row) {
  const Matrix& matrix = tables.matrices[link.first_matrix];
  for (int64_t i = 0; link.row_sum >= 0 && i < matrix.rows; ++i) {
    store_float(row, link.row_sum, i, plain_sum(tables.workspace + matrix.row_sums, matrix.taps, i));
  }
  for (int64_t i = 0; link.column_sum >= 0 && i < matrix.columns * matrix.taps; ++i) {
    store_float(row, link.column_sum, i, tables.workspace[matrix.column_sums + i]);
  }
}

}  // namespace

void combine(const Tables& tables, std::byte* row) {
  for (int64_t i = 0; i < tables.link_count; ++i) {
    const LinkPlan& link = tables.links[i];
    Moments moments = no_moments();
    for (int32_t k = link.first_matrix; k < link.first_matrix + link.matrices; ++k) {
      const Matrix& matrix = tables.matrices[k];
      combine_matrix(tables, matrix);
      const int64_t tiles = matrix.groups * matrix.row_blocks * matrix.column_blocks * matrix.tap_blocks;
      moments = merge(moments, combine_moments(tables.moments + matrix.first_tile, tiles));
    }
    store_link(tables.offsets, row, i, moments);
    store_plain_sums(tables, link, row);
  }
}

}  // namespace dynascope::engine::cpu
