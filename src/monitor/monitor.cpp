// SPDX-License-Identifier: BSD-3-Clause
#include "exit_hook.hpp"
#include "fork_count.hpp"
#include "log.hpp"
#include "nonfinite.hpp"
#include "options.hpp"
#include "parameters.hpp"
#include "resume.hpp"
#include "session.hpp"
#include "writer.hpp"

#include <dynascope/error.hpp>
#include <dynascope/monitor.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <torch/serialize/input-archive.h>
#include <torch/serialize/output-archive.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace dynascope {
namespace {

bool disabled_by_environment() {
  const char* value = std::getenv("DYNASCOPE_DISABLE");
  return value != nullptr && *value != '\0' && std::strcmp(value, "0") != 0;
}

std::shared_ptr<Sink> sink_of(const MonitorOptions& options) {
  if (options.sink()) {
    return options.sink();
  }
  return std::make_shared<Hdf5Sink>(options.path(),
                                    Hdf5Options().overwrite(options.overwrite()).fsync(options.fsync()));
}

std::shared_ptr<Sink> sink_of(const MonitorOptions& options, const monitor::Checkpoint& resumed) {
  return std::make_shared<Hdf5Sink>(
      options.path(), Hdf5Options().fsync(options.fsync()).resume(resumed.step).resume_epochs(resumed.epochs_closed));
}

constexpr std::chrono::seconds kPatience(60);     // of on_train_end
constexpr std::chrono::seconds kExitPatience(5);  // of who has no time

engine::PlanOptions plan_options(const MonitorOptions& options) {
  engine::PlanOptions plan;
  plan.metrics = options.metrics();
  plan.components = options.components();
  plan.histogram = options.histogram();
  plan.histogram_bins = options.histogram_bins();
  plan.record_parameters = options.record_parameters();
  return plan;
}

}  // namespace

class Monitor::Impl {
 public:
  Impl(NamedModules modules, MonitorOptions options) : modules_(std::move(modules)), options_(std::move(options)) {
    monitor::check(options_);
    checkpoint_.step = options_.resume();
    if (modules_.empty()) {
      throw std::invalid_argument("a Monitor needs at least one module, got none");
    }
  }

  void require_set_up() const {
    if (state_ != State::kSetUp) {
      throw Error("the graph must be set before on_train_begin, got another one after it: make another Monitor");
    }
  }

  void set_network(Network network) {
    require_set_up();
    dynascope::check(network);
    network_ = std::move(network);
    has_network_ = true;
    ledger_.set_skipped(network_.skipped);
  }

  void train_begin() {
    if (state_ != State::kSetUp) {
      throw Error("on_train_begin must be called once, got a second call: a Monitor records one run, make another");
    }
    if (!has_network_) {
      set_network(walk(modules_));
    }
    Network network = network_;
    if (!options_.include().empty() || !options_.exclude().empty() || options_.select()) {
      network = select(network_, monitor::path_filter(options_));
      ledger_.set_skipped(network.skipped);
    }
    if (checkpoint_.step < 0) {
      open(std::move(network));
    } else {
      resume(std::move(network));
    }
    state_ = State::kTraining;
    exit_hook_.emplace([this, trains = std::this_thread::get_id()] { close_at_exit(trains); });
  }

  void train_end(std::chrono::seconds patience) noexcept {
    exit_hook_.reset();
    if (state_ == State::kTraining) {
      session_->end();
      given_up_ = !writer_->finish(patience);
      state_ = State::kEnded;
      const MonitorStatus done = ledger_.status();
      monitor::log::info(std::to_string(done.rows_written) + " rows written, " + std::to_string(done.rows_dropped) +
                         " dropped, " + std::to_string(done.errors) + " errors");
    }
  }

  /// The session while training; otherwise null, and `call` is counted as out of order.
  monitor::Session* session(const char* call) noexcept {
    if (state_ == State::kTraining) {
      return &*session_;
    }
    try {
      const bool early = state_ == State::kSetUp;
      std::string& first = early ? first_early_call_ : first_late_call_;
      if (first.empty()) {
        first = std::string(call) + (early ? " before on_train_begin" : " after on_train_end") + " records nothing";
        ledger_.report(first);
      } else {
        ledger_.count_error();
      }
    } catch (...) {  // no memory to say it
    }
    return nullptr;
  }

  void log(std::string_view key, double value) {
    if (state_ == State::kSetUp) {
      early_scalars_.insert_or_assign(std::string(key), value);
    } else if (auto* training = session("log")) {
      training->log(key, value);
    }
  }

  void save(torch::serialize::OutputArchive& archive) {
    monitor::Checkpoint now = checkpoint_;
    if (state_ != State::kSetUp) {
      now = session_->checkpoint();
      writer_->drain();
    }
    archive.write("dynascope_step", at::scalar_tensor(now.step, at::kLong), true);
    archive.write("dynascope_epochs_closed", at::scalar_tensor(now.epochs_closed, at::kLong), true);
    archive.write("dynascope_scalars", at::tensor(now.scalars, at::kDouble), true);
  }

  void load(torch::serialize::InputArchive& archive) {
    if (state_ != State::kSetUp) {
      throw Error("load must be called before on_train_begin, got a call after it: a Monitor records one run");
    }
    at::Tensor step, epochs, scalars;
    archive.read("dynascope_step", step, true);
    archive.read("dynascope_epochs_closed", epochs, true);
    archive.read("dynascope_scalars", scalars, true);
    checkpoint_ = {step.item<int64_t>(), epochs.item<int64_t>(), {}};
    checkpoint_.scalars.assign(scalars.data_ptr<double>(), scalars.data_ptr<double>() + scalars.numel());
  }

  /// In the process that it was made in, and not one forked later.
  bool at_home() const noexcept { return monitor::fork_count() == forks_; }

  /// A thread that cannot be stopped still uses this object.
  bool must_stay() const noexcept { return given_up_ || !at_home(); }

  const NamedModules& modules() const noexcept { return modules_; }
  const Network& network() const noexcept { return network_; }
  MonitorStatus status() const { return ledger_.status(); }

 private:
  enum class State { kSetUp, kTraining, kEnded };

  std::unique_ptr<monitor::Parameters> make_subject(Network network) const {
    return std::make_unique<monitor::Parameters>(modules_, std::move(network), plan_options(options_),
                                                 options_.buffered_rows(), options_.overhead_budget() > 0);
  }

  void open(Network network) {
    const auto sink = sink_of(options_);
    auto subject = make_subject(std::move(network));
    auto writer = std::make_unique<monitor::Writer>(sink, subject->slots(), options_.when_full(), ledger_);
    monitor::QueuedRow first;
    first.slot = *writer->acquire();
    const auto begin = std::chrono::steady_clock::now();
    first.blocks = subject->measure_first(first.slot);
    first.row.snapshot_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

    start(sink, std::move(writer), std::move(subject));
    for (const auto& [key, value] : early_scalars_) {
      session_->log(key, value);
    }
    session_->begin(std::move(first));
    if (!first_early_call_.empty()) {
      writer_->push(Event{0, 0, EventCode::kError, 0, first_early_call_});
    }
  }

  // The file is looked at first: its edges of the histograms are those of the run.
  void resume(Network network) {
    const monitor::ResumePoint point = monitor::resume_point(options_.path(), checkpoint_);
    const auto sink = sink_of(options_, checkpoint_);
    auto subject = make_subject(std::move(network));
    auto writer = std::make_unique<monitor::Writer>(sink, subject->slots(), options_.when_full(), ledger_);
    subject->adopt_edges(point.histogram_edges);
    start(sink, std::move(writer), std::move(subject));
    ledger_.flushed(point.rows_kept, sink->bytes_written());
    session_->resume(point);
    for (const auto& [key, value] : early_scalars_) {
      session_->log(key, value);
    }
  }

  void start(const std::shared_ptr<Sink>& sink, std::unique_ptr<monitor::Writer> writer,
             std::unique_ptr<monitor::Parameters> subject) {
    RunDescription description = subject->description();
    description.scalars = options_.scalars();
    description.config = monitor::config_json(options_, description.parameter_count, description.measured_count);
    if (!options_.title().empty()) {
      description.title = options_.title();
    }
    if (!options_.source().empty()) {
      description.source = options_.source();
    }
    sink->open(description, subject->layout());
    writer->start(monitor::NonFiniteFinder(description, subject->layout()));
    tell(description);

    subject_ = std::move(subject);
    writer_ = std::move(writer);
    monitor::Session::Options session;
    session.schedule = monitor::schedule(options_);
    session.histogram = options_.histogram();
    session.scalars = options_.scalars();
    session.overhead_budget = options_.overhead_budget();
    session.writer_takes_from_training =
        description.backend == "cpu" && at::get_num_threads() >= static_cast<int>(std::thread::hardware_concurrency());
    session_.emplace(std::move(session), *subject_, *writer_, ledger_);
  }

  // Elsewhere than in the thread that trains, which may be anywhere in the session, only what is queued can be saved.
  void close_at_exit(std::thread::id trains) noexcept {
    if (std::this_thread::get_id() == trains) {
      train_end(kExitPatience);
    } else {
      writer_->finish(kExitPatience);
    }
  }

  void tell(const RunDescription& run) const {
    monitor::log::info("recording " + std::to_string(run.node_layers.size()) + " node layers and " +
                       std::to_string(run.weight_layers.size()) + " weight layers on " + run.device +
                       (options_.sink() ? "" : " to " + options_.path()));
    if (run.node_layers.empty()) {
      monitor::log::warn("no node layer is known, so that no node strength is recorded; status().skipped says why");
    }
    for (const SkippedInfo& skipped : run.skipped) {
      monitor::log::debug("not in the graph: " + skipped.name + ": " + skipped.reason);
    }
  }

  const NamedModules modules_;
  const MonitorOptions options_;
  State state_ = State::kSetUp;
  Network network_;
  bool has_network_ = false;
  std::string first_early_call_, first_late_call_;
  std::map<std::string, double> early_scalars_;  // of row 0
  monitor::Checkpoint checkpoint_;               // to go on from
  const int forks_ = monitor::fork_count();
  bool given_up_ = false;

  monitor::Ledger ledger_;
  std::unique_ptr<monitor::Parameters> subject_;
  std::unique_ptr<monitor::Writer> writer_;
  std::optional<monitor::Session> session_;
  std::optional<monitor::ExitHook> exit_hook_;
};

Monitor::Monitor(const ModuleRef& module, MonitorOptions options)
    : Monitor(NamedModules{{"", module}}, std::move(options)) {}

Monitor::Monitor(const NamedModules& modules, MonitorOptions options)
    : impl_(disabled_by_environment() ? nullptr : std::make_unique<Impl>(modules, std::move(options))) {}

Monitor::~Monitor() {
  if (impl_ && impl_->at_home()) {
    impl_->train_end(kExitPatience);
  }
  if (impl_ && impl_->must_stay()) {
    static_cast<void>(impl_.release());
  }
}

Monitor::Impl* Monitor::here() const noexcept { return impl_ && impl_->at_home() ? impl_.get() : nullptr; }

void Monitor::save(torch::serialize::OutputArchive& archive) {
  if (auto* impl = here()) {
    impl->save(archive);
  }
}

void Monitor::load(torch::serialize::InputArchive& archive) {
  if (auto* impl = here()) {
    impl->load(archive);
  }
}

void Monitor::trace_outputs(const detail::ForwardFunction& forward, const TraceOptions& options) {
  if (auto* impl = here()) {
    impl->require_set_up();
    impl->set_network(detail::trace(impl->modules(), forward, options));
  }
}

void Monitor::set_network(Network network) {
  if (auto* impl = here()) {
    impl->set_network(std::move(network));
  }
}

const Network& Monitor::network() const noexcept {
  static const Network kNone;
  auto* impl = here();
  return impl != nullptr ? impl->network() : kNone;
}

void Monitor::on_train_begin() {
  if (auto* impl = here()) {
    impl->train_begin();
  }
}

void Monitor::on_epoch_begin() {
  if (auto* impl = here()) {
    impl->session("on_epoch_begin");
  }
}

void Monitor::on_step_end() {
  if (auto* impl = here()) {
    if (auto* session = impl->session("on_step_end")) {
      session->step_end();
    }
  }
}

void Monitor::on_epoch_end(const Scalars& scalars) {
  if (auto* impl = here()) {
    if (auto* session = impl->session("on_epoch_end")) {
      session->epoch_end(scalars);
    }
  }
}

void Monitor::on_train_end() {
  if (auto* impl = here()) {
    impl->train_end(kPatience);
  }
}

void Monitor::log(std::string_view key, double value) {
  if (auto* impl = here()) {
    impl->log(key, value);
  }
}

MonitorStatus Monitor::status() const {
  auto* impl = here();
  return impl != nullptr ? impl->status() : MonitorStatus{};
}

}  // namespace dynascope
