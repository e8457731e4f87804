// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "plan.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace dynascope::engine {

/// Runs a plan. `cpu` and `cuda` are siblings with the same functions and the same bits; make_backend is the only place
/// that knows which is which.
///
/// A backend owns `slots` row blocks in host memory (pinned for cuda). One thread enqueues; `ready`, `wait` and `row`
/// may be called from another for slots whose measure() has returned.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Measures the parameters as they are now into block `slot`. Enqueues on the current stream of the plan's device and
  /// copies the row out on a stream of its own; does not synchronise. On the cpu the row is ready on return.
  /// @param histogram  fill the histogram; otherwise its span is -1. Needs Plan::set_histogram_edges.
  virtual void measure(int64_t slot, bool histogram) = 0;

  /// True when the block of `slot` is complete; never blocks.
  virtual bool ready(int64_t slot) = 0;

  /// Blocks until the block of `slot` is complete.
  virtual void wait(int64_t slot) = 0;

  /// RowLayout::bytes() bytes.
  virtual const std::byte* row(int64_t slot) const = 0;

  /// Runs the plan once into device memory and returns the row as a uint8 tensor (bytes,) on the plan's device;
  /// enqueues on the current stream, does not synchronise. For the metrics as plain functions.
  virtual at::Tensor measure_to_tensor(bool histogram) = 0;

  /// Seconds that the row in `slot`, which is complete, took on the device; 0 on the cpu, and where rows are not timed.
  virtual double device_seconds(int64_t /*slot*/) { return 0; }

  /// "cpu" or "cuda".
  virtual const char* name() const noexcept = 0;

  /// Where it measures, for a person to read: "cpu", or "cuda:0 (NVIDIA H200)".
  virtual std::string device() const { return name(); }
};

/// The backend for the device that the plan's parameters live on. The plan must outlive it; after set_histogram_edges
/// call measure as before, the backend notices.
/// @param timed  keep the time that rows take on the device, at the price of two more events per row
/// @throws Error for a device without a backend, or for cuda in a build without it
std::unique_ptr<Backend> make_backend(const Plan& plan, int64_t slots, bool timed = false);

}  // namespace dynascope::engine
