// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/callback_list.hpp>

#include <stdexcept>
#include <utility>

namespace dynascope {

CallbackList::CallbackList(std::vector<std::shared_ptr<TrainingCallback>> callbacks) {
  for (auto& callback : callbacks) {
    add(std::move(callback));
  }
}

void CallbackList::add(std::shared_ptr<TrainingCallback> callback) {
  if (!callback) {
    throw std::invalid_argument("CallbackList::add needs a callback, got a null pointer");
  }
  callbacks_.push_back(std::move(callback));
}

void CallbackList::add(TrainingCallback& callback) {
  callbacks_.emplace_back(std::shared_ptr<void>(), &callback);  // shares nothing: not ours to keep alive
}

void CallbackList::on_train_begin() {
  for (const auto& callback : callbacks_) {
    callback->on_train_begin();
  }
}

void CallbackList::on_epoch_begin() {
  for (const auto& callback : callbacks_) {
    callback->on_epoch_begin();
  }
}

void CallbackList::on_step_end() {
  for (const auto& callback : callbacks_) {
    callback->on_step_end();
  }
}

void CallbackList::on_epoch_end(const Scalars& scalars) {
  for (const auto& callback : callbacks_) {
    callback->on_epoch_end(scalars);
  }
}

void CallbackList::on_train_end() {
  for (auto callback = callbacks_.rbegin(); callback != callbacks_.rend(); ++callback) {
    (*callback)->on_train_end();
  }
}

}  // namespace dynascope
