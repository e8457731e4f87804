// SPDX-License-Identifier: BSD-3-Clause
#include "ledger.hpp"

#include "log.hpp"

#include <utility>

namespace dynascope::monitor {

void Ledger::report(const std::string& message) noexcept {
  log::error(message);
  const std::lock_guard lock(mutex_);
  ++status_.errors;
  try {
    if (status_.first_error.empty()) {
      status_.first_error = message;
    }
  } catch (...) {  // no memory for the text: the count tells
  }
}

void Ledger::count_error() noexcept {
  const std::lock_guard lock(mutex_);
  ++status_.errors;
}

void Ledger::began(double before) noexcept {
  const std::lock_guard lock(mutex_);
  before_ = before;
  snapshots_before_ = status_.snapshot_seconds;
  begin_ = Clock::now();
  began_ = true;
}

void Ledger::ended() noexcept {
  const std::lock_guard lock(mutex_);
  if (!ended_) {
    end_ = Clock::now();
    ended_ = true;
  }
}

double Ledger::seconds_locked() const noexcept {
  return began_ ? before_ + std::chrono::duration<double>((ended_ ? end_ : Clock::now()) - begin_).count() : 0.0;
}

double Ledger::seconds() const noexcept {
  const std::lock_guard lock(mutex_);
  return seconds_locked();
}

void Ledger::flushed(int64_t rows, int64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  status_.rows_written += rows;
  status_.bytes_written = bytes;
}

void Ledger::dropped() noexcept {
  const std::lock_guard lock(mutex_);
  ++status_.rows_dropped;
}

void Ledger::snapshot(double seconds) noexcept {
  const std::lock_guard lock(mutex_);
  status_.snapshot_seconds += seconds;
}

void Ledger::device(double seconds) noexcept {
  const std::lock_guard lock(mutex_);
  status_.device_seconds += seconds;
}

void Ledger::writer(double seconds, int64_t rows) noexcept {
  const std::lock_guard lock(mutex_);
  status_.writer_seconds += seconds;
  rows_handled_ += rows;
}

Budget::Spent Ledger::spent(bool with_writer) const noexcept {
  const std::lock_guard lock(mutex_);
  const double later = status_.device_seconds + (with_writer ? status_.writer_seconds : 0);
  return {status_.snapshot_seconds - snapshots_before_ + later,
          rows_handled_ > 0 ? later / static_cast<double>(rows_handled_) : 0};
}

void Ledger::set_skipped(std::vector<SkippedInfo> skipped) {
  const std::lock_guard lock(mutex_);
  status_.skipped = std::move(skipped);
}

MonitorStatus Ledger::status() const {
  const std::lock_guard lock(mutex_);
  MonitorStatus status = status_;
  status.training_seconds = seconds_locked();
  return status;
}

}  // namespace dynascope::monitor
