// SPDX-License-Identifier: BSD-3-Clause

// Second pass: partials become sums, and the moments of tiles the statistics of weight layers.
//
// Blocks follow a list of work (image.cpp). Row and column sums: partials lie a row of sums apart, so a thread owns one
// sum and up to four of its runs in registers, and up to eight warps share a strip of sums; loads are coalesced, the
// last three halvings go through shared memory. Statistics: one warp per weight layer, lane i is run i over the moments
// of its tiles. A matrix of one block of partials has no work here: they are its sums.
//
// Cost: one read of the partials, 16 bytes per 64 to 256 elements of the weights, so a few percent of the first pass
// for large matrices; for small networks the launch and the longest chain of merges count. That chain is tiles / 32
// long whatever the number of threads, by the tree; its loads run ahead of it, and its divisions depend on counts only.
// Small networks would gain from one launch for all three passes.

#include "device.cuh"
#include "launch.hpp"

namespace dynascope::DYNASCOPE_DEVICE {
namespace {

using engine::Matrix;
using engine::Moments;
using engine::Tables;

/// One strip of sums whose partials lie a row of sums apart: kThreads / width neighbours.
/// @param partials  (blocks, count)
/// @param sums      (count,)
/// @param shared    (kThreads,), in shared memory
__device__ void combine_strip(const double* partials, int64_t blocks, int64_t count, int64_t number, double* sums,
                              double* shared) {
  const int thread = static_cast<int>(threadIdx.x);
  const int width = engine::fold_width(blocks, engine::kCombineRuns / 4);
  const int strip = engine::kThreads / width;
  const int64_t lane = number * strip + thread % strip;
  const int first_run = thread / strip;

  double runs[4] = {0.0, 0.0, 0.0, 0.0};  // first_run + 0, 8, 16, 24
  for (int64_t base = first_run; lane < count && base < blocks; base += engine::kCombineRuns) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t block = base + 8 * i;
      if (block < blocks) {
        runs[i] += partials[block * count + lane];
      }
    }
  }
  shared[thread] = (runs[0] + runs[2]) + (runs[1] + runs[3]);
  for (int half = width / 2; half > 0; half /= 2) {
    __syncthreads();
    if (first_run < half) {
      shared[thread] += shared[thread + half * strip];
    }
  }
  if (first_run == 0 && lane < count) {
    sums[lane] = shared[thread];
  }
}

__device__ void combine_rows(const Tables& tables, const Matrix& matrix, int64_t number, double* shared) {
  combine_strip(tables.workspace + matrix.row_partials, matrix.column_blocks, matrix.rows * matrix.taps, number,
                tables.workspace + matrix.row_sums, shared);
}

__device__ void combine_columns(const Tables& tables, const Matrix& matrix, int64_t number, double* shared) {
  const int64_t lanes = matrix.columns * matrix.taps;
  const int64_t strips = engine::strips_of(lanes, matrix.row_blocks);
  const int64_t group = number / strips;
  combine_strip(tables.workspace + matrix.column_partials + group * matrix.row_blocks * lanes, matrix.row_blocks, lanes,
                number % strips, tables.workspace + matrix.column_sums + group * lanes, shared);
}

/// Statistics of weight layer `index`, by one warp.
__device__ void combine_link(const Tables& tables, std::byte* row, int64_t index) {
  const auto merge = [](const Moments& a, const Moments& b) { return engine::merge(a, b); };
  const engine::LinkPlan& link = tables.links[index];
  const int lane = static_cast<int>(threadIdx.x) % engine::kWarp;
  Moments all = engine::no_moments();
  for (int32_t i = 0; i < link.matrices; ++i) {
    const Matrix& matrix = tables.matrices[link.first_matrix + i];
    const int64_t tiles = matrix.groups * matrix.row_blocks * matrix.column_blocks * matrix.tap_blocks;
    const Moments* moments = tables.moments + matrix.first_tile;  // (tiles,)
    Moments run = engine::no_moments();
    Moments next = lane < tiles ? moments[lane] : run;
    for (int64_t tile = lane; tile < tiles; tile += engine::kCombineRuns) {
      const Moments own = next;
      if (tile + engine::kCombineRuns < tiles) {
        next = moments[tile + engine::kCombineRuns];
      }
      run = merge(run, own);
    }
    all = merge(all, fold_lanes(run, engine::kWarp, merge));
  }
  if (lane == 0) {
    engine::store_link(tables.offsets, row, index, all);
  }
}

/// One block per item of `work` (gridDim.x,). Writes sums to the workspace of `tables` and statistics to `row`.
__global__ void __launch_bounds__(engine::kThreads, 2)
    combine(const Tables tables, const WorkItem* work, std::byte* row) {
  __shared__ double shared[engine::kThreads];
  const WorkItem item = work[blockIdx.x];
  if (item.job == Job::kRowSums) {
    combine_rows(tables, tables.matrices[item.index], item.first, shared);
  } else if (item.job == Job::kColumnSums) {
    combine_columns(tables, tables.matrices[item.index], item.first, shared);
  } else {
    const int64_t link = item.index + static_cast<int>(threadIdx.x) / engine::kWarp;
    if (link < tables.link_count) {
      combine_link(tables, row, link);
    }
  }
}

}  // namespace

void launch_combine(const Program& program, std::byte* row, cudaStream_t stream) {
  DYNASCOPE_LAUNCH(combine, program.combine_blocks, stream, program.tables, program.combine_work, row);
}

}  // namespace dynascope::DYNASCOPE_DEVICE
