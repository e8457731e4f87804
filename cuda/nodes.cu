// SPDX-License-Identifier: BSD-3-Clause

// Third pass: sums become node strengths, their summaries, plain row and column sums, copies of parameters.
//
// Blocks follow a list of work (image.cpp). One block per node layer: thread i is lane i of the summary and computes
// units i, i + 256, ... one after another, from the terms of its layer; the summary's shift is the strength of unit 0,
// which thread 0 shares. The other jobs are one value per thread, sixteen for copies.
//
// Cost: a unit of a plain layer reads two or three sums; one of a convolutional layer kernel-many, times the
// coefficients that are not 0. Threads of one channel read the same sums, threads of a plain layer neighbouring ones.
// One block per layer is the weak point of this first version: a layer of 25,088 units keeps one multiprocessor busy
// for 98 rounds while others idle; several blocks per layer need a second fold. Copies decode a six-axis index per
// value, even where the parameter is contiguous.

#include "device.cuh"
#include "launch.hpp"

namespace dynascope::DYNASCOPE_DEVICE {
namespace {

using engine::Copy;
using engine::LaneSums;
using engine::NodePlan;
using engine::Tables;

/// @param shared  (kThreads,), in shared memory
/// @param shift   in shared memory
__device__ void measure_node(const Tables& tables, std::byte* row, int64_t index, LaneSums* shared, double* shift) {
  const NodePlan& node = tables.nodes[index];
  const int64_t* multiplicity = tables.indices + node.multiplicity;  // (units,)
  const int thread = static_cast<int>(threadIdx.x);
  LaneSums sums = engine::no_sums();
  for (int64_t base = 0; base < node.units; base += engine::kThreads) {
    const int64_t unit = base + thread;
    engine::UnitStrength strength{0.0, 0.0};
    if (unit < node.units) {
      strength = engine::strength_of(tables, node, unit);
      engine::store_unit(node, row, unit, strength);
    }
    const double value = strength.in + strength.out;
    if (base == 0) {
      if (thread == 0) {
        *shift = engine::shift_of(value);
      }
      __syncthreads();
    }
    if (unit < node.units) {
      engine::add(sums, value, *shift, multiplicity[unit]);
    }
  }
  sums = fold_threads(sums, shared);
  if (thread == 0) {
    engine::store_node(tables.offsets, row, index, engine::moments_of(sums, node.units > 0 ? *shift : 0.0));
  }
}

/// One block per item of `work` (gridDim.x,). Reads the workspace of `tables`, writes `row`.
__global__ void __launch_bounds__(engine::kThreads, 2)
    nodes(const Tables tables, const WorkItem* work, std::byte* row) {
  __shared__ LaneSums shared[engine::kThreads];
  __shared__ double shift;
  const WorkItem item = work[blockIdx.x];
  const int64_t own = item.first + static_cast<int>(threadIdx.x);
  if (item.job == Job::kNode) {
    measure_node(tables, row, item.index, shared, &shift);
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
  DYNASCOPE_LAUNCH(nodes, program.node_blocks, stream, program.tables, program.node_work, row);
}

}  // namespace dynascope::DYNASCOPE_DEVICE
