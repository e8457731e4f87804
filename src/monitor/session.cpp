// SPDX-License-Identifier: BSD-3-Clause
#include "session.hpp"

#include "log.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <utility>

namespace dynascope::monitor {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A run that goes wrong at every step must not fill the disk with saying so.
constexpr int64_t kMostEvents = 1000;
constexpr size_t kMostComplaints = 100;

}  // namespace

template <typename Body>
void Session::guarded(Body&& body) noexcept {
  try {
    body();
  } catch (const std::exception& error) {
    stop(EventCode::kError, error.what());
  } catch (...) {
    stop(EventCode::kError, "an exception that is no std::exception");
  }
}

Session::Session(Options options, Subject& subject, Writer& writer, Ledger& ledger)
    : options_(std::move(options)),
      subject_(subject),
      writer_(writer),
      ledger_(ledger),
      budget_(options_.overhead_budget),
      pending_scalars_(options_.scalars.size(), kNone) {}

void Session::begin(QueuedRow row) noexcept {
  guarded([&] {
    row.row.epoch_end = true;
    give_scalars(row.row);
    ledger_.snapshot(row.row.snapshot_seconds);
    writer_.push(std::move(row));
    writer_.flush();
  });
  ledger_.began();
}

void Session::resume(const ResumePoint& point) noexcept {
  seconds_before_ = point.seconds;
  ledger_.began(point.seconds);
  guarded([&] {
    step_ = point.checkpoint.step;
    epochs_closed_ = point.checkpoint.epochs_closed;
    if (point.checkpoint.scalars.size() == pending_scalars_.size()) {
      pending_scalars_ = point.checkpoint.scalars;
    }
    std::string text = "resumed at step " + std::to_string(step_) + ": " + std::to_string(point.rows_kept) +
                       " rows kept, " + std::to_string(point.rows_dropped) + " dropped";
    const bool due = options_.schedule.due(step_) && point.last_step < step_;
    if (const int64_t lost = options_.schedule.between(point.last_step, step_); lost > 0) {
      text += "; " + std::to_string(lost) + " rows after step " + std::to_string(point.last_step) +
              " are missing, as they had not been flushed when the run ended";
      log::warn(text);
    } else {
      log::info(text);
    }
    add_event(EventCode::kResumed, static_cast<double>(point.rows_kept), text);
    if (due) {
      take(false);
    }
  });
}

void Session::step_end() noexcept {
  ++step_;
  if (!recording()) {
    return;
  }
  guarded([&] {
    release_held();
    look(false);
    if (recording() && wants_row()) {
      take(false);
    }
  });
}

bool Session::wants_row() {
  if (!options_.schedule.due(step_)) {
    return false;
  }
  if (options_.overhead_budget == 0) {
    return true;
  }
  const Budget::Decision decision =
      budget_.ask(ledger_.seconds() - seconds_before_, ledger_.spent(options_.writer_takes_from_training));
  if (!decision.change.empty()) {
    log::info(decision.change);
    add_event(EventCode::kBudgetDecision, static_cast<double>(budget_.stride()), decision.change);
  }
  return decision.take;
}

void Session::epoch_end(const Scalars& scalars) noexcept {
  guarded([&] {
    if (recording()) {
      look(true);
    }
    for (const auto& [key, value] : scalars) {
      attach(key, value);
    }
    if (held_ && held_->row.step == step_) {
      if (recording() && options_.histogram == Histogram::kEpochEnds && !held_has_histogram_) {
        remeasure_held();
      }
      held_->row.epoch_end = true;
      give_scalars(held_->row);
    } else {
      release_held();
      if (recording()) {
        take(true);
      }
    }
    release_held();
    std::fill(pending_scalars_.begin(), pending_scalars_.end(), kNone);
    writer_.flush();
  });
  ++epochs_closed_;
}

void Session::log(std::string_view key, double value) noexcept {
  guarded([&] { attach(key, value); });
}

void Session::end() noexcept {
  ledger_.ended();
  guarded([&] {
    release_held();
    note_dropped(nullptr);
  });
}

void Session::look(bool registrations) {
  const std::optional<Change> change = subject_.check(registrations);
  if (!change) {
    return;
  }
  if (change->code == EventCode::kLayerLost) {
    stop(EventCode::kLayerLost, change->message);
    return;
  }
  log::info(change->message);
  add_event(change->code, static_cast<double>(step_), change->message);
}

void Session::take(bool epoch_end) {
  const std::optional<int64_t> slot = writer_.acquire();
  if (!slot) {
    if (!writer_.failed()) {
      ++dropped_since_row_;
      ledger_.dropped();
    }
    return;
  }
  QueuedRow taken;
  taken.slot = *slot;
  taken.row.step = step_;
  taken.row.epoch = epochs_closed_ + 1;
  taken.row.epoch_end = epoch_end;
  try {
    measure(taken, options_.histogram == Histogram::kEveryRow || (epoch_end && options_.histogram != Histogram::kOff));
  } catch (...) {
    writer_.release(*slot);
    throw;
  }
  note_dropped(&taken.row);
  give_scalars(taken.row);
  held_ = std::move(taken);
}

void Session::measure(QueuedRow& row, bool histogram) {
  const auto begin = std::chrono::steady_clock::now();
  row.row.time = ledger_.seconds();
  row.blocks = subject_.measure(row.slot, histogram);
  held_has_histogram_ = histogram;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  row.row.snapshot_seconds += seconds;
  ledger_.snapshot(seconds);
  if (histogram == (options_.histogram == Histogram::kEveryRow)) {  // as the rows are that the budget decides on
    budget_.paid(seconds);
  }
}

void Session::remeasure_held() {
  try {
    measure(*held_, true);
  } catch (...) {  // what is in the slot now is anyone's guess
    writer_.release(held_->slot);
    held_.reset();
    throw;
  }
}

void Session::release_held() {
  if (held_) {
    writer_.push(std::move(*held_));
    held_.reset();
  }
}

void Session::give_scalars(Row& row) {
  row.scalars.resize(pending_scalars_.size(), kNone);
  for (size_t i = 0; i < pending_scalars_.size(); ++i) {
    if (pending_scalars_[i] == pending_scalars_[i]) {
      row.scalars[i] = std::exchange(pending_scalars_[i], kNone);
    }
  }
}

void Session::attach(std::string_view key, double value) {
  const auto found = std::find(options_.scalars.begin(), options_.scalars.end(), key);
  if (found != options_.scalars.end()) {
    pending_scalars_[static_cast<size_t>(found - options_.scalars.begin())] = value;
    return;
  }
  const std::string name(key);
  complain("scalar " + name, "unknown scalar '" + name + "' is not recorded: name it in MonitorOptions::scalars");
}

void Session::note_dropped(Row* next) {
  if (dropped_since_row_ == 0) {
    return;
  }
  add_event(EventCode::kRowsDropped, static_cast<double>(dropped_since_row_),
            std::to_string(dropped_since_row_) + " rows dropped: the buffer was full");
  if (next != nullptr) {
    next->dropped = dropped_since_row_;
  }
  dropped_since_row_ = 0;
}

void Session::add_event(EventCode code, double value, const std::string& message) {
  if (++events_ < kMostEvents) {
    writer_.push(Event{step_, ledger_.seconds(), code, value, message});
  } else if (events_ == kMostEvents) {
    writer_.push(Event{step_, ledger_.seconds(), EventCode::kError, 0, "more events than are recorded"});
  }
}

void Session::complain(const std::string& kind, const std::string& message) noexcept {
  guarded([&] {
    if (complaints_.size() < kMostComplaints && complaints_.insert(kind).second) {
      ledger_.report(message);
      add_event(EventCode::kError, 0, message);
    } else {
      ledger_.count_error();
    }
  });
}

void Session::stop(EventCode code, const std::string& message) noexcept {
  stopped_ = true;
  try {
    const std::string text = "recording stopped at step " + std::to_string(step_) + ": " + message;
    ledger_.report(text);
    add_event(code, 0, text);
  } catch (...) {  // no memory to say why
  }
}

}  // namespace dynascope::monitor
