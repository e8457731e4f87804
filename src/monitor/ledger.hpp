// SPDX-License-Identifier: BSD-3-Clause
#pragma once

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
  void set_skipped(std::vector<SkippedInfo> skipped);

  MonitorStatus status() const;

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_locked() const noexcept;

  mutable std::mutex mutex_;
  MonitorStatus status_;
  Clock::time_point begin_{}, end_{};
  double before_ = 0;
  bool began_ = false, ended_ = false;
};

}  // namespace dynascope::monitor
