// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A network and a training run small enough to repeat often.

#include <dynascope/dynascope.hpp>

#include <torch/torch.h>

#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace dynascope {

/// 4-5-3 with a ReLU; a module of the user's own, so that its graph is found by a trace only.
struct NetImpl : torch::nn::Module {
  NetImpl()
      : fc1(register_module("fc1", torch::nn::Linear(4, 5))), fc2(register_module("fc2", torch::nn::Linear(5, 3))) {}
  at::Tensor forward(const at::Tensor& x) { return fc2->forward(torch::relu(fc1->forward(x))); }
  torch::nn::Linear fc1, fc2;
};
TORCH_MODULE(Net);

inline const at::Tensor& example() {
  static const at::Tensor data = torch::linspace(-1, 1, 32).view({8, 4});
  return data;
}

/// The same weights at every call.
inline Net make_net() {
  example();  // made before any trace, as data is
  torch::manual_seed(7);
  return Net();
}

/// What happens to the network after a step.
using Accident = std::function<void(Net& net, int64_t step)>;

/// Trains with the loop that users write; 4 steps an epoch. Returns the loss of every step.
inline std::vector<double> train(Net& net, TrainingCallback* monitor, int64_t epochs = 3,
                                 const Accident& accident = {}) {
  if (monitor != nullptr) {
    monitor->on_train_begin();
  }
  std::vector<double> losses;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    if (monitor != nullptr) {
      monitor->on_epoch_begin();
    }
    for (int64_t batch = 0; batch < 4; ++batch) {
      const auto options = net->fc1->weight.options().requires_grad(false);
      const at::Tensor data = example().to(options) * static_cast<double>(batch + 1);
      const at::Tensor loss = net->forward(data).square().mean();
      loss.backward();
      {
        const torch::NoGradGuard no_grad;
        for (auto& parameter : net->parameters()) {
          if (parameter.grad().defined()) {
            parameter.sub_(parameter.grad(), 0.05);
            parameter.mutable_grad() = at::Tensor();
          }
        }
      }
      losses.push_back(loss.item<double>());
      if (accident) {
        accident(net, static_cast<int64_t>(losses.size()));
      }
      if (monitor != nullptr) {
        monitor->on_step_end();
      }
    }
    if (monitor != nullptr) {
      monitor->on_epoch_end({{"loss", losses.back()}});
    }
  }
  if (monitor != nullptr) {
    monitor->on_train_end();
  }
  return losses;
}

/// Where a run file may be written; gone in the end.
///
/// (A folder would need std::filesystem::remove_all, which crashes in a program with LibTorch: its libraries export one
/// of their own that lacks a part.)
class RunPath {
 public:
  explicit RunPath(const std::string& name)
      : path_(std::filesystem::path(std::filesystem::temp_directory_path()) /
              ("dynascope_" + std::to_string(getpid()) + "_" + name)) {
    std::filesystem::remove(path_);
  }
  ~RunPath() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  std::string string() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline MonitorOptions into(const std::shared_ptr<Sink>& sink) {
  return MonitorOptions("").sink(sink).scalars({"loss"});
}

}  // namespace dynascope
