// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "backend.hpp"

#include <cstdint>
#include <memory>

namespace dynascope::engine {

/// Runs a plan whose parameters live on a CUDA device, with the kernels of cuda/.
///
/// The kernels run on the current stream: they are ordered after the optimizer's step and before the next one without
/// any waiting. Only the copy of the row to pinned host memory leaves that stream, so that it overlaps with training;
/// two row blocks on the device take turns, and the current stream waits (on the device) for the copy of the row before
/// the last. A steady measure() launches three kernels and does not allocate, synchronise or copy to the device. The
/// first one after Plan::set_histogram_edges copies the edges.
///
/// While the current stream is captured into a CUDA graph, measure() throws: its slot, its events and the host's count
/// of rows belong to one call, not to a graph that is replayed. measure_to_tensor() may be captured once the edges, if
/// wanted, are on the device (one call outside the capture); the graph uses this backend's workspace, so that nothing
/// else of this backend may run at the same time, and its kernels leave their tickets as they found them, so that it
/// may be replayed. ready() and wait() may be called from any thread while another captures.
///
/// What a replayed measure() would take: rows in a ring on the device, at an index there that the last kernel counts up
/// and that the kernels read instead of a pointer; and a reader that learns from a copy of the index how many rows
/// there are, because an event in a graph is one for all replays. The schedule, and a row's step and time, are the
/// host's and unknown to a graph, so that the Monitor would have to be told of each replay anyway; to call measure()
/// between two replays then costs three launches and needs none of this.
///
/// @throws Error when the device is out of memory or refuses a call
std::unique_ptr<Backend> make_cuda_backend(const Plan& plan, int64_t slots, bool timed);

}  // namespace dynascope::engine
