// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/training_callback.hpp>

#include <memory>
#include <vector>

namespace dynascope {

/// Several callbacks as one: each event goes to all, in the order in which they were added; on_train_end in reverse.
class DYNASCOPE_API CallbackList : public TrainingCallback {
 public:
  CallbackList() = default;
  explicit CallbackList(std::vector<std::shared_ptr<TrainingCallback>> callbacks);

  /// Adds a callback and keeps it alive.
  /// @throws std::invalid_argument for a null pointer
  void add(std::shared_ptr<TrainingCallback> callback);

  /// Adds a callback that must outlive this list.
  void add(TrainingCallback& callback);

  using TrainingCallback::on_epoch_end;
  void on_train_begin() override;
  void on_epoch_begin() override;
  void on_step_end() override;
  void on_epoch_end(const Scalars& scalars) override;
  void on_train_end() override;

 private:
  std::vector<std::shared_ptr<TrainingCallback>> callbacks_;
};

}  // namespace dynascope
