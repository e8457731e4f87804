// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/training_callback.hpp>

#include <torch/optim/optimizer.h>

#include <type_traits>
#include <utility>

namespace dynascope {

/// An optimizer whose step() tells a callback that the weights changed; for loops that are not yours to change.
///
/// It is a `Base` in everything else: schedulers, parameter groups, state and serialization work on it as ever. A step
/// with a closure is one step, however often the closure is called (LBFGS). A step that throws is none.
template <typename Base>
class ObservedOptimizer final : public Base {
  static_assert(std::is_base_of_v<torch::optim::Optimizer, Base>, "observe() takes a torch::optim optimizer");

 public:
  /// Takes `optimizer` over; `callback` must outlive it.
  ObservedOptimizer(Base&& optimizer, TrainingCallback& callback) : Base(std::move(optimizer)), callback_(&callback) {}

  torch::Tensor step(torch::optim::Optimizer::LossClosure closure = nullptr) override {
    torch::Tensor loss = Base::step(std::move(closure));
    callback_->on_step_end();
    return loss;
  }

 private:
  TrainingCallback* callback_;
};

/// The same for an optimizer that stays where it is; use it in its place.
template <typename Optimizer>
class OptimizerObserver final {
 public:
  /// Both must outlive it.
  OptimizerObserver(Optimizer& optimizer, TrainingCallback& callback) : optimizer_(&optimizer), callback_(&callback) {}

  torch::Tensor step(torch::optim::Optimizer::LossClosure closure = nullptr) {
    torch::Tensor loss = optimizer_->step(std::move(closure));
    callback_->on_step_end();
    return loss;
  }
  void zero_grad(bool set_to_none = true) { optimizer_->zero_grad(set_to_none); }

  /// The optimizer itself, whose own step() tells nobody.
  Optimizer& operator*() const noexcept { return *optimizer_; }
  Optimizer* operator->() const noexcept { return optimizer_; }

 private:
  Optimizer* optimizer_;
  TrainingCallback* callback_;
};

/// `auto optimizer = dynascope::observe(torch::optim::Adam(model->parameters(), 1e-3), monitor);`: an Adam whose step()
/// calls monitor.on_step_end(). Do not call on_step_end yourself then, nor register the callback with a TrainingLoop.
template <typename Optimizer, typename = std::enable_if_t<!std::is_lvalue_reference_v<Optimizer>>>
ObservedOptimizer<Optimizer> observe(Optimizer&& optimizer, TrainingCallback& callback) {
  return ObservedOptimizer<Optimizer>(std::move(optimizer), callback);
}

/// `auto observed = dynascope::observe(optimizer, monitor);`: observed.step() in place of optimizer.step().
template <typename Optimizer>
OptimizerObserver<Optimizer> observe(Optimizer& optimizer, TrainingCallback& callback) {
  return OptimizerObserver<Optimizer>(optimizer, callback);
}

}  // namespace dynascope
