// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace dynascope::monitor {

/// Which steps ask for a row, beside epoch ends.
class Schedule {
 public:
  /// @param every_n_steps  0: none
  explicit Schedule(int64_t every_n_steps) : every_(every_n_steps) {}

  bool due(int64_t step) const noexcept { return every_ > 0 && step % every_ == 0; }

  /// Steps that ask for a row after `first` and before `last`.
  int64_t between(int64_t first, int64_t last) const noexcept {
    return every_ > 0 && last > first ? (last - 1) / every_ - first / every_ : 0;
  }

 private:
  int64_t every_;
};

}  // namespace dynascope::monitor
