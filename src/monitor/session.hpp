// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The bookkeeping of a run: steps, epochs, scalars, which row is due, which is still open. Knows neither tensors nor
// files, so that it is tested with fakes.
//
// A row taken at a step is held back until the next step or epoch end, since an epoch end at the same step completes
// it. A row that closes an epoch is complete when taken: it goes to the writer at once, and asks for a flush.

#include "blocks.hpp"
#include "budget.hpp"
#include "ledger.hpp"
#include "resume.hpp"
#include "writer.hpp"

#include <dynascope/run_description.hpp>
#include <dynascope/schedule.hpp>
#include <dynascope/training_callback.hpp>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope::monitor {

class Session {
 public:
  struct Options {
    Schedule schedule;
    Histogram histogram = Histogram::kEpochEnds;
    std::vector<std::string> scalars;
    double overhead_budget = 0;               ///< share of the training time; 0: no limit
    bool writer_takes_from_training = false;  ///< training uses all cores
  };

  Session(Options options, Subject& subject, Writer& writer, Ledger& ledger);

  /// Row 0, measured into `row`'s slot before; the clock starts here.
  void begin(QueuedRow row) noexcept;

  /// Instead of begin: goes on after a checkpoint, whose weights the subject has.
  void resume(const ResumePoint& point) noexcept;

  /// What a later run needs to go on from here.
  Checkpoint checkpoint() const { return {step_, epochs_closed_, pending_scalars_}; }

  void step_end() noexcept;
  void epoch_end(const Scalars& scalars) noexcept;
  void log(std::string_view key, double value) noexcept;

  /// Hands over what is left; the writer is the caller's to finish.
  void end() noexcept;

  /// Records something that went wrong: counted, and once per `kind` in the log and as an event.
  void complain(const std::string& kind, const std::string& message) noexcept;

 private:
  /// Runs `body`; what it throws stops the recording.
  template <typename Body>
  void guarded(Body&& body) noexcept;

  bool recording() const noexcept { return !stopped_ && !writer_.failed(); }
  void look(bool registrations);
  bool wants_row();
  void take(bool epoch_end);
  void measure(QueuedRow& row, bool histogram);
  void remeasure_held();
  void release_held();
  void give_scalars(Row& row);
  void attach(std::string_view key, double value);
  void note_dropped(Row* next);
  void add_event(EventCode code, double value, const std::string& message);
  void stop(EventCode code, const std::string& message) noexcept;

  const Options options_;
  Subject& subject_;
  Writer& writer_;
  Ledger& ledger_;

  Budget budget_;
  double seconds_before_ = 0;  // of training, in the run that is gone on with
  int64_t step_ = 0;
  int64_t epochs_closed_ = 0;
  bool stopped_ = false;
  std::optional<QueuedRow> held_;
  bool held_has_histogram_ = false;
  std::vector<double> pending_scalars_;  // of the next row
  int64_t dropped_since_row_ = 0;
  int64_t events_ = 0;
  std::set<std::string> complaints_;
};

}  // namespace dynascope::monitor
