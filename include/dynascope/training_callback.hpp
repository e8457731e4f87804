// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>

#include <string>
#include <utility>
#include <vector>

namespace dynascope {

/// Named values of one epoch, for example {{"loss", 0.31}, {"accuracy", 0.97}}.
using Scalars = std::vector<std::pair<std::string, double>>;

/// Something that wants to know how training goes on. Every default does nothing.
///
/// Order: on_train_begin, then per epoch on_epoch_begin, on_step_end after each optimizer step, on_epoch_end; last
/// on_train_end. TrainingLoop fires them in this order; a loop of your own calls them itself.
class DYNASCOPE_API TrainingCallback {
 public:
  virtual ~TrainingCallback();

  /// Before the first step.
  virtual void on_train_begin() {}

  /// Before the first step of an epoch; optional.
  virtual void on_epoch_begin() {}

  /// Right after the weights changed.
  virtual void on_step_end() {}

  /// After the last step of an epoch, with what was measured over it.
  virtual void on_epoch_end(const Scalars& /*scalars*/) {}
  void on_epoch_end() { on_epoch_end(Scalars{}); }

  /// After the last epoch.
  virtual void on_train_end() {}
};

}  // namespace dynascope
