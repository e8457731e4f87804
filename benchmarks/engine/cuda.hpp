// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What one row costs on a GPU (bench_engine --device=cuda), beside what a user could do instead:
//
//   row         one snapshot by the engine, without histogram, its copy to the host on the way
//   graph       the same three launches in a CUDA graph
//   histogram   row with 128 bins
//   eager       per weight: w.sum(1), w.sum(0), w.std(), w.min(), w.max(), left on the device
//   item        the same, the last three fetched with .item()
//   eager_graph eager in a CUDA graph
//   gemv        per weight: cuBLAS with vectors of ones for rows and columns, and var_mean
//   host        every weight copied to pinned memory and measured there by the engine's cpu backend
//   read        per weight: CUB's DeviceReduce::Sum over the same bytes, the ceiling of any single read
//
// A sample's time is that of the device, between two events on the stream: a kernel that does nothing holds the stream
// first for as long as the host usually needs to enqueue the rest (at most kHold), so that launches do not wait for the
// host; what takes the host longer is in the time, as it is for a user. "host_us" is what the call took on the host,
// the stream empty. Before each sample of a workload named "..., cold" more than the second-level cache is overwritten.

namespace dynascope::bench {

/// False where there is no usable GPU, or no CUDA in this build.
bool register_cuda();

}  // namespace dynascope::bench
