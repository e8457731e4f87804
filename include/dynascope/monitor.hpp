// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/module_ref.hpp>
#include <dynascope/monitor_options.hpp>
#include <dynascope/network.hpp>
#include <dynascope/trace.hpp>
#include <dynascope/training_callback.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope {

/// What a Monitor has done so far.
struct MonitorStatus {
  int64_t rows_written = 0;  ///< rows visible to readers of the sink
  int64_t rows_dropped = 0;
  std::string first_error;  ///< empty when there was none
  std::vector<SkippedInfo> skipped;
  double snapshot_seconds = 0;  ///< host time spent in taking snapshots, summed
  double training_seconds = 0;  ///< since on_train_begin
  int64_t bytes_written = 0;
};

/// Records a training run: reads the parameters right after optimizer steps, measures node strengths, layer
/// fluctuations and link weights where the parameters live, and streams them to a sink from a thread of its own.
///
/// Setup (constructor, trace, on_train_begin) throws. After on_train_begin nothing throws into or stops the training
/// loop: failures are logged once, counted, and visible in status() and in the file.
/// Call all members from one thread. With DYNASCOPE_DISABLE=1 in the environment every member is a no-op.
class DYNASCOPE_API Monitor final : public TrainingCallback {
 public:
  /// Monitors one module: a reference, shared_ptr or TORCH_MODULE holder.
  /// @throws std::invalid_argument for options that make no sense (says which)
  Monitor(const ModuleRef& module, MonitorOptions options);

  /// Monitors several modules in one run; paths are prefixed with the names.
  Monitor(const NamedModules& modules, MonitorOptions options);

  /// Calls on_train_end if that has not been done; does not throw.
  ~Monitor() override;
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// Finds the graph with one forward pass; see dynascope::trace. Call before on_train_begin.
  ///
  /// Without it a network built only of a Sequential is walked; anything else is measured layer by layer.
  template <typename Forward>
  void trace(Forward&& forward, const TraceOptions& options = {}) {
    trace_outputs(detail::outputs_of(forward), options);
  }

  /// Uses a graph made elsewhere, by trace() or a NetworkBuilder. Call before on_train_begin.
  void set_network(Network network);

  /// The graph in use; empty before trace, set_network or on_train_begin.
  const Network& network() const noexcept;

  using TrainingCallback::on_epoch_end;

  /// Creates the file and records row 0.
  /// @throws Error when the file cannot be created, or called twice; std::invalid_argument for unknown regular
  /// expressions
  void on_train_begin() override;
  void on_epoch_begin() override;

  /// Counts an optimizer step and, when the cadence asks for it, takes a snapshot. Enqueues on the current stream; does
  /// not synchronise. Steps that ask for no row cost a counter.
  void on_step_end() override;

  /// Closes an epoch: takes a snapshot, or completes the one of the same step, with the user's scalars.
  void on_epoch_end(const Scalars& scalars) override;

  /// Writes what is left and closes the sink. Blocks until done.
  void on_train_end() override;

  /// Attaches a value to the next row; for loops without epochs. `key` must be one of MonitorOptions::scalars.
  void log(std::string_view key, double value);

  MonitorStatus status() const;

 private:
  void trace_outputs(const detail::ForwardFunction& forward, const TraceOptions& options);

  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dynascope
