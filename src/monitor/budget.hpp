// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dynascope::monitor {

/// Keeps what snapshots cost below a share of the training time: of the steps that ask for a row it lets every n-th
/// through, and chooses n.
///
/// Two designs were weighed. A purse (a snapshot whenever enough time has been saved up) keeps the promise by itself,
/// but spreads rows as the clock of the machine has it. A stride chosen from measured costs spreads them evenly, but
/// overspends while it learns. Here the stride decides where rows fall, and the purse must agree.
///
/// Strides are 1, 2, 5, 10, 20, 50, ..., counted from the first step that asked: few changes, and rows of one run at
/// steps that another has too. Rows at epoch ends are no steps that ask: they are taken whatever they cost, and paid
/// for by those that do.
class Budget {
 public:
  /// @param share  of the training time; 0: no limit
  explicit Budget(double share) : share_(share) {}

  struct Decision {
    bool take = true;
    std::string change;  ///< of the stride, for people; empty when there is none
  };

  /// What has been paid so far, in seconds.
  struct Spent {
    double in_all = 0;
    double later = 0;  ///< per row, on the device and for writing: known only after the row was taken
  };

  /// A step asks for a row.
  /// @param now  seconds of training so far
  Decision ask(double now, const Spent& spent);

  /// What a snapshot cost the thread that took it, in seconds. Nobody knows before the first: the first step that asks
  /// has its row, and the next one waits until both are affordable.
  void paid(double seconds);

  int64_t stride() const noexcept { return stride_; }

 private:
  std::string set_stride(int64_t stride, double cost);

  double share_;
  int64_t stride_ = 1;
  int64_t asked_ = 0;
  int64_t taken_ = 0;           // since the stride changed
  std::optional<double> cost_;  // of a snapshot, smoothed
  std::optional<double> gap_;   // seconds from one asking step to the next, smoothed
  double trained_ = 0;          // at the last one: time without snapshots
};

}  // namespace dynascope::monitor
