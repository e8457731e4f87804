// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "budget.hpp"

#include <dynascope/monitor_status.hpp>

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

namespace dynascope::monitor {

/// What Monitor::status() tells, kept by the training thread and the writer thread together. Every member locks.
class Ledger {
 public:
  /// Counts a failure; the first one is remembered. Says it in the log.
  void report(const std::string& message) noexcept;

  /// Counts a failure that has been reported before.
  void count_error() noexcept;

  /// @param before  seconds of training that the run has had already
  void began(double before = 0) noexcept;
  void ended() noexcept;
  double seconds() const noexcept;  ///< training time so far

  void flushed(int64_t rows, int64_t bytes) noexcept;
  void dropped() noexcept;
  void snapshot(double seconds) noexcept;
  void device(double seconds) noexcept;  ///< of a snapshot
  void writer(double seconds, int64_t rows) noexcept;

  /// What the budget is charged since training began.
  /// @param with_writer  the writer takes time from training: that uses all cores
  Budget::Spent spent(bool with_writer) const noexcept;
  void set_skipped(std::vector<SkippedInfo> skipped);

  MonitorStatus status() const;

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_locked() const noexcept;

  mutable std::mutex mutex_;
  MonitorStatus status_;
  Clock::time_point begin_{}, end_{};
  double before_ = 0;
  double snapshots_before_ = 0;  // training began
  int64_t rows_handled_ = 0;     // by the writer
  bool began_ = false, ended_ = false;
};

}  // namespace dynascope::monitor
