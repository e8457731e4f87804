// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/training_callback.hpp>

#include <cstdint>
#include <memory>

namespace dynascope {

/// A progress bar on stderr: epochs, steps, rate, time left, and the last epoch's scalars.
///
/// Draws only when stderr is a terminal, at most ten times a second; a step in between costs a counter and a look at
/// the clock. Does not throw.
class DYNASCOPE_API ProgressBar final : public TrainingCallback {
 public:
  /// @param epochs           how many there will be; 0: unknown, no bar and no time left
  /// @param steps_per_epoch  0: unknown, learnt from the first epoch
  /// @throws std::invalid_argument for negative numbers
  explicit ProgressBar(int64_t epochs = 0, int64_t steps_per_epoch = 0);
  ~ProgressBar() override;

  using TrainingCallback::on_epoch_end;
  void on_train_begin() override;
  void on_step_end() override;
  void on_epoch_end(const Scalars& scalars) override;
  void on_train_end() override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dynascope
