// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the rest of the library knows of the kernels: plain pointers, sizes and a stream. Three launches make a row:
//
//   launch_reduce    one block per tile
//   launch_combine   folds partials; link-weight statistics
//   launch_nodes     node layers; plain sums; copies of parameters
//
// All enqueue on `stream` of the current device, allocate nothing and do not synchronise, so they may be captured into
// a CUDA graph. They throw dynascope::Error when the driver refuses a launch.

#include "engine/tables.hpp"

#include <cstddef>
#include <cstdint>

struct CUstream_st;
using cudaStream_t = CUstream_st*;

// The same sources are compiled once more for the host stand-in of the tests; both may be in one program.
#if defined(DYNASCOPE_HOST_DEVICE)
#define DYNASCOPE_DEVICE host_device
#else
#define DYNASCOPE_DEVICE cuda
#endif

namespace dynascope::DYNASCOPE_DEVICE {

/// What one block of the second or third launch does.
enum class Job : int32_t {
  kRowSums,       ///< combine: `first` counts strips of row sums of matrix `index`
  kColumnSums,    ///< combine: `first` counts strips of column sums of matrix `index`
  kLinks,         ///< combine: weight layers from `index` on, one warp each
  kNode,          ///< nodes: units of node layer `index` from `first` on
  kPlainRows,     ///< nodes: row sums of weight layer `index` from `first` on
  kPlainColumns,  ///< nodes: column sums of weight layer `index` from `first` on
  kCopy,          ///< nodes: values of copy `index` from `first` on
};

struct WorkItem {
  Job job;
  int32_t index;
  int64_t first;
};

/// A plan as the kernels see it: all pointers lead to device memory. Passed to kernels by value.
struct Program {
  engine::Tables tables;
  const WorkItem* combine_work;  ///< (combine_blocks,)
  const WorkItem* node_work;     ///< (node_blocks,)
  unsigned* tickets;             ///< (node layers,), 0 between launches
  int64_t combine_blocks;
  int64_t node_blocks;
};

/// Sets the histograms of `row` to 0 where they are about to be counted, else to -1. A row that has -1 already needs it
/// no more as long as nothing is counted.
void fill_histograms(const Program& program, std::byte* row, bool histogram, cudaStream_t stream);

/// Fills workspace and moments, and with `histogram` counts into those of `row`, which must be 0.
/// @param row  device memory, RowLayout::bytes() bytes, aligned to 8
void launch_reduce(const Program& program, std::byte* row, bool histogram, cudaStream_t stream);

/// Needs what launch_reduce left in the workspace.
void launch_combine(const Program& program, std::byte* row, cudaStream_t stream);

/// Needs what launch_combine left in the workspace.
void launch_nodes(const Program& program, std::byte* row, cudaStream_t stream);

/// The three of them: a whole row, but for the histograms that are not counted.
inline void launch_snapshot(const Program& program, std::byte* row, bool histogram, cudaStream_t stream) {
  launch_reduce(program, row, histogram, stream);
  launch_combine(program, row, stream);
  launch_nodes(program, row, stream);
}

}  // namespace dynascope::DYNASCOPE_DEVICE
