// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/callback_list.hpp>
#include <dynascope/training_callback.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace dynascope {

/// The usual training loop, for those who have none of their own: batches, loss, backward, step, and the events of
/// every registered callback in the order of TrainingCallback.
///
/// ```cpp
/// dynascope::TrainingLoop loop(model, optimizer, torch::nn::CrossEntropyLoss(), loader);
/// loop.register_callback(monitor);
/// loop.run(epochs);
/// ```
/// Callbacks get the scalar "loss", the mean over the epoch's examples, and what `evaluate` returns. The loss stays on
/// its device until the epoch ends, so that steps do not synchronise.
///
/// @tparam Model      a module with `forward(data)`: a module, a shared_ptr to one, or a TORCH_MODULE holder
/// @tparam Optimizer  any torch::optim optimizer
/// @tparam Loss       callable as `loss(output, target)`, gives the mean over the batch
/// @tparam Loader     a torch::data loader of batches with `data` and `target` (transform Stack), or a pointer to one
template <typename Model, typename Optimizer, typename Loss, typename Loader>
class TrainingLoop {
 public:
  /// `model`, `optimizer` and `loader` must outlive the loop; `loss_function` is copied.
  TrainingLoop(Model& model, Optimizer& optimizer, Loss loss_function, Loader& loader)
      : model_(model), optimizer_(optimizer), loss_function_(std::move(loss_function)), loader_(loader) {}

  /// Moves every batch there first; the model is the caller's to move.
  TrainingLoop& device(at::Device device) {
    device_ = device;
    return *this;
  }

  /// Runs after the steps of each epoch, with the model in evaluation mode; what it returns joins the epoch's scalars.
  /// It is the callable's own to switch gradients off.
  TrainingLoop& evaluate(std::function<Scalars()> function) {
    evaluate_ = std::move(function);
    return *this;
  }

  /// Adds a callback and keeps it alive.
  /// @throws std::invalid_argument for a null pointer
  TrainingLoop& register_callback(std::shared_ptr<TrainingCallback> callback) {
    callbacks_.add(std::move(callback));
    return *this;
  }

  /// Adds a callback that must outlive this loop.
  TrainingLoop& register_callback(TrainingCallback& callback) {
    callbacks_.add(callback);
    return *this;
  }

  /// Trains. What the model, the loader or a callback throws comes out, without on_train_end.
  /// @throws std::invalid_argument for a negative number of epochs
  void run(int64_t epochs) {
    if (epochs < 0) {
      throw std::invalid_argument("TrainingLoop::run needs 0 epochs or more, got " + std::to_string(epochs));
    }
    callbacks_.on_train_begin();
    for (int64_t epoch = 0; epoch < epochs; ++epoch) {
      callbacks_.on_epoch_begin();
      const Scalars scalars = run_epoch();
      callbacks_.on_epoch_end(scalars);
    }
    callbacks_.on_train_end();
  }

 private:
  template <typename T, typename = void>
  struct IsPointer : std::false_type {};
  template <typename T>
  struct IsPointer<T, std::void_t<decltype(*std::declval<T&>())>> : std::true_type {};

  template <typename T>
  static auto& object(T& value) {
    if constexpr (IsPointer<T>::value) {
      return *value;
    } else {
      return value;
    }
  }

  Scalars run_epoch() {
    auto& model = object(model_);
    model.train();
    at::Tensor sum;
    int64_t examples = 0;
    for (auto& batch : object(loader_)) {
      at::Tensor data = device_ ? batch.data.to(*device_) : batch.data;
      at::Tensor target = device_ ? batch.target.to(*device_) : batch.target;
      optimizer_.zero_grad();
      at::Tensor loss = loss_function_(model.forward(data), target);
      loss.backward();
      optimizer_.step();
      callbacks_.on_step_end();

      const int64_t size = data.size(0);
      examples += size;
      const at::Tensor weighted = loss.detach().mul(static_cast<double>(size));
      sum = sum.defined() ? sum.add(weighted) : weighted;
    }
    Scalars scalars;
    if (examples > 0) {
      scalars.emplace_back("loss", sum.template item<double>() / static_cast<double>(examples));
    }
    if (evaluate_) {
      model.eval();
      for (auto& scalar : evaluate_()) {
        scalars.push_back(std::move(scalar));
      }
      model.train();
    }
    return scalars;
  }

  Model& model_;
  Optimizer& optimizer_;
  Loss loss_function_;
  Loader& loader_;
  std::optional<at::Device> device_;
  std::function<Scalars()> evaluate_;
  CallbackList callbacks_;
};

}  // namespace dynascope
