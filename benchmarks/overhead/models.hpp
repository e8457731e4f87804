// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace overhead {

/// A network with a batch of random examples to train on.
struct Task {
  std::shared_ptr<torch::nn::Module> module;
  std::function<torch::Tensor(const torch::Tensor&)> forward;
  torch::Tensor data, target;
};

/// "mlp", "lenet5", "resnet18", "resnet50", "lstm" and "transformer".
std::vector<std::string> task_names();

/// @throws std::invalid_argument for any other name
Task make_task(const std::string& name, const torch::Device& device);

}  // namespace overhead
