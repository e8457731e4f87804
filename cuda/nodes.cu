// SPDX-License-Identifier: BSD-3-Clause

// Third pass: sums become node strengths, their summaries, plain row and column sums, copies of parameters.
//
// Blocks follow a list of work (image.cpp). A node layer has one block per kSummaryUnits units: thread i is lane i of
// the summary and computes units i, i + 256, ... one after another, from the terms of its layer; the summary's shift is
// the strength of the block's first unit, which thread 0 shares. Of several blocks, the one that ends last folds the
// moments of all, in their order: which one that is changes no bit. It knows from a ticket per layer in device memory,
// and sets this to 0 again, so that the launch may be replayed from a graph. A second launch for the fold would cost
// more than it does. The other jobs are one value per thread, sixteen for copies.
//
// Cost: a unit of a plain layer reads two or three sums; one of a convolutional layer kernel-many, times the
// coefficients that are not 0. Threads of one channel read the same sums, threads of a plain layer neighbouring ones.
// Copies decode a six-axis index per value, even where the parameter is contiguous.

#include "device.cuh"
#include "launch.hpp"

namespace dynascope::DYNASCOPE_DEVICE {
namespace {

using engine::Copy;
using engine::LaneSums;
using engine::Moments;
using engine::NodePlan;
using engine::Tables;

/// Units `first` and on of a node layer, at most kSummaryUnits: strengths to `row`.
/// @param shared  (kThreads,), in shared memory
/// @param shift   in shared memory
/// @return their moments, in thread 0
__device__ Moments measure_units(const Tables& tables, std::byte* row, const NodePlan& node, int64_t first,
                                 LaneSums* shared, double* shift) {
  const int64_t* multiplicity = tables.indices + node.multiplicity;  // (units,)
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t end = first + engine::kSummaryUnits < node.units ? first + engine::kSummaryUnits : node.units;
  LaneSums sums = engine::no_sums();
  for (int64_t base = first; base < end; base += engine::kThreads) {
    const int64_t unit = base + thread;
    engine::UnitStrength strength{0.0, 0.0};
    if (unit < end) {
      strength = engine::strength_of(tables, node, unit);
      engine::store_unit(node, row, unit, strength);
    }
    const double value = strength.in + strength.out;
    if (base == first) {
      if (thread == 0) {
        *shift = engine::shift_of(value);
      }
      __syncthreads();
    }
    if (unit < end) {
      engine::add(sums, value, *shift, multiplicity[unit]);
    }
  }
  sums = fold_threads(sums, shared);
  return engine::moments_of(sums, first < end ? *shift : 0.0);
}

/// What blocks of this launch wrote: from the second-level cache, where they meet.
__device__ Moments load_moments(const Moments* from) {
  const auto* counts = reinterpret_cast<const long long*>(from);
  const auto* values = reinterpret_cast<const double*>(from);
  static_assert(sizeof(Moments) == 7 * sizeof(double));
  return {__ldcg(counts),     __ldcg(counts + 1), __ldcg(values + 2), __ldcg(values + 3),
          __ldcg(values + 4), __ldcg(values + 5), __ldcg(values + 6)};
}

/// engine::combine_moments() by one warp; valid in its first lane.
__device__ Moments combine_blocks(const Moments* moments, int64_t blocks) {
  const auto merge = [](const Moments& a, const Moments& b) { return engine::merge(a, b); };
  Moments run = engine::no_moments();
  for (int64_t block = threadIdx.x % engine::kWarp; block < blocks; block += engine::kCombineRuns) {
    run = merge(run, load_moments(moments + block));
  }
  return fold_lanes(run, engine::kWarp, merge);
}

/// @param tickets  (node layers,), all 0; and all 0 again when the last block of a layer ends
__device__ void measure_node(const Tables& tables, unsigned* tickets, std::byte* row, int64_t index, int64_t first,
                             LaneSums* shared, double* shift, bool* last) {
  const NodePlan& node = tables.nodes[index];
  const int64_t blocks = (node.units + engine::kSummaryUnits - 1) / engine::kSummaryUnits;
  Moments moments = measure_units(tables, row, node, first, shared, shift);
  if (threadIdx.x == 0) {
    if (blocks > 0) {
      tables.moments[node.first_moments + first / engine::kSummaryUnits] = moments;
    }
    *last = true;
    if (blocks > 1) {
      __threadfence();  // the moments before the ticket
      *last = atomicAdd(tickets + index, 1U) == static_cast<unsigned>(blocks) - 1U;
      __threadfence();  // the ticket before the others' moments
    }
  }
  __syncthreads();
  if (!*last || threadIdx.x >= engine::kWarp) {
    return;
  }
  if (blocks > 1) {
    moments = combine_blocks(tables.moments + node.first_moments, blocks);
  }
  if (threadIdx.x == 0) {
    tickets[index] = 0;
    engine::store_node(tables.offsets, row, index, moments);
  }
}

/// One block per item of `work` (gridDim.x,). Reads the workspace of `tables`, writes `row`.
__global__ void __launch_bounds__(engine::kThreads, 2)
    nodes(const Tables tables, const WorkItem* work, unsigned* tickets, std::byte* row) {
  __shared__ LaneSums shared[engine::kThreads];
  __shared__ double shift;
  __shared__ bool last;
  const WorkItem item = work[blockIdx.x];
  const int64_t own = item.first + static_cast<int>(threadIdx.x);
  if (item.job == Job::kNode) {
    measure_node(tables, tickets, row, item.index, item.first, shared, &shift, &last);
  } else if (item.job == Job::kCopy) {
    const Copy& copy = tables.copies[item.index];
    const int64_t end = item.first + engine::kCopiesPerBlock;
    for (int64_t i = own; i < end && i < copy.count; i += engine::kThreads) {
      engine::store_copy(copy, row, i);
    }
  } else {
    const engine::LinkPlan& link = tables.links[item.index];
    const engine::Matrix& matrix = tables.matrices[link.first_matrix];
    if (item.job == Job::kPlainRows && own < matrix.rows) {
      const double sum = engine::plain_sum(tables.workspace + matrix.row_sums, matrix.taps, own);
      engine::store_float(row, link.row_sum, own, sum);
    } else if (item.job == Job::kPlainColumns && own < matrix.columns * matrix.taps) {
      engine::store_float(row, link.column_sum, own, tables.workspace[matrix.column_sums + own]);
    }
  }
}

}  // namespace

void launch_nodes(const Program& program, std::byte* row, cudaStream_t stream) {
  DYNASCOPE_LAUNCH(nodes, program.node_blocks, stream, program.tables, program.node_work, program.tickets, row);
}

}  // namespace dynascope::DYNASCOPE_DEVICE
