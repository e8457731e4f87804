// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/module_ref.hpp>
#include <dynascope/monitor_options.hpp>
#include <dynascope/monitor_status.hpp>
#include <dynascope/network.hpp>
#include <dynascope/trace.hpp>
#include <dynascope/training_callback.hpp>

#include <memory>
#include <string_view>

namespace torch::serialize {
class InputArchive;
class OutputArchive;
}  // namespace torch::serialize

namespace dynascope {

/// Records a training run: reads the parameters right after optimizer steps, measures node strengths, layer
/// fluctuations and link weights where the parameters live, and streams them to a sink from a thread of its own.
///
/// Set-up (constructor, trace, set_network, on_train_begin) throws. After on_train_begin nothing throws into or stops
/// the training loop: failures are logged once, counted, and visible in status() and in the file.
///
/// Parameters that change places, dtype or device (module->to, a loaded checkpoint) are noticed at the next step and
/// measured on; other parameters registered under the same names, at the next epoch end. A parameter with another shape
/// ends the recording, with an error that says which. A member that is assigned without being registered cannot be
/// seen.
///
/// In a child of fork() every member is a no-op: the run is the parent's. When a sink takes nothing more (a disk that
/// stalls), on_train_end gives up after a minute without progress, the destructor and exit() after five seconds; what
/// is flushed is there.
///
/// Call all members from one thread; status() from any. With DYNASCOPE_DISABLE set to anything but 0 when the Monitor
/// is made, every member is a no-op.
class DYNASCOPE_API Monitor final : public TrainingCallback {
 public:
  /// Monitors one module: a reference, shared_ptr or TORCH_MODULE holder.
  /// @throws std::invalid_argument for options that make no sense (says which)
  Monitor(const ModuleRef& module, MonitorOptions options);

  /// Monitors several modules in one run; paths are prefixed with the names.
  Monitor(const NamedModules& modules, MonitorOptions options);

  /// Calls on_train_end if that is still to be done; does not throw.
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
  ///
  /// Its tensors need not be parameters of the module: for a torch::jit::Module, or plain tensors, give the constructor
  /// an empty torch::nn::Module.
  /// @throws Error when it does not fit together, or after on_train_begin
  void set_network(Network network);

  /// The graph in use; empty before trace, set_network or on_train_begin.
  const Network& network() const noexcept;

  using TrainingCallback::on_epoch_end;

  /// Creates the file and records row 0. Waits for the device: the edges of the histograms depend on that row.
  /// @throws Error when the sink cannot be opened, when the parameters cannot be measured (says which and why), or when
  /// called twice: a Monitor records one run
  void on_train_begin() override;

  /// Optional; records nothing.
  void on_epoch_begin() override;

  /// Counts an optimizer step, looks whether the parameters still are where they were (nanoseconds per parameter) and,
  /// when MonitorOptions::every_n_steps asks for it, takes a snapshot. Enqueues on the current stream; does not
  /// synchronise. With WhenFull::kBlock a full buffer makes it wait for the sink.
  void on_step_end() override;

  /// Closes an epoch: takes a snapshot, or completes the one of the same step, with the user's scalars. The row is
  /// handed to the writer at once and flushed. Keys that are not in MonitorOptions::scalars count as errors in
  /// status().
  void on_epoch_end(const Scalars& scalars) override;

  /// Writes what is left and closes the sink. Blocks until done; does not throw (see status()). Done as well when the
  /// program calls exit() while it trains.
  void on_train_end() override;

  /// Attaches a value to the next row, before on_train_begin to row 0; for loops without epochs. `key` must be one of
  /// MonitorOptions::scalars; of several values before a row the last one counts.
  void log(std::string_view key, double value);

  /// Writes to a checkpoint what load() needs to go on from here: optimizer steps, closed epochs, scalars that wait for
  /// their row. Waits until everything recorded so far is flushed, so that no checkpoint is ahead of its run file.
  void save(torch::serialize::OutputArchive& archive);

  /// Goes on with the run in MonitorOptions::path from a checkpoint, as MonitorOptions::resume does. Call before
  /// on_train_begin.
  /// @throws Error after on_train_begin; c10::Error when `archive` holds nothing of save()
  void load(torch::serialize::InputArchive& archive);

  /// What has been recorded so far, and the first thing that went wrong.
  MonitorStatus status() const;

 private:
  void trace_outputs(const detail::ForwardFunction& forward, const TraceOptions& options);

  class Impl;
  Impl* here() const noexcept;  // null where every member is a no-op
  std::unique_ptr<Impl> impl_;
};

}  // namespace dynascope
