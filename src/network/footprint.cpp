// SPDX-License-Identifier: BSD-3-Clause
#include "footprint.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <mutex>
#include <set>

namespace dynascope::network {

Footprint::Footprint(const ModuleTree& tree) {
  at::NoGradGuard no_grad;
  std::set<at::Device, bool (*)(const at::Device&, const at::Device&)> devices(
      [](const at::Device& a, const at::Device& b) {
        return a.type() != b.type() ? a.type() < b.type() : a.index() < b.index();
      });
  devices.insert(at::kCPU);
  for (const NamedParameter& parameter : tree.parameters) {
    devices.insert(parameter.value.device());
  }
  for (const at::Tensor& buffer : tree.buffers) {
    devices.insert(buffer.device());
    save(buffer);
  }
  for (const at::Device& device : devices) {
    if (device.is_cpu() || device.is_cuda()) {
      at::Generator generator = at::globalContext().defaultGenerator(device);
      const std::lock_guard<std::mutex> lock(generator.mutex());
      generators_.emplace_back(generator, generator.get_state());
    }
  }
  for (torch::nn::Module* module : tree.modules) {
    training_.emplace_back(module, module->is_training());
  }
  for (torch::nn::Module* module : tree.modules) {
    if (module->is_training()) {
      module->train(false);
    }
  }
}

Footprint::~Footprint() {
  try {
    restore();
  } catch (...) {  // NOLINT(bugprone-empty-catch): a destructor has nobody to tell
  }
}

void Footprint::save(const at::Tensor& tensor) {
  for (const auto& [known, copy] : saved_) {
    if (known.is_same(tensor)) {
      return;
    }
  }
  at::NoGradGuard no_grad;
  saved_.emplace_back(tensor, tensor.detach().clone());
}

void Footprint::restore() {
  // Parents come before children: train() passes its flag down, and the child's own then corrects it.
  for (const auto& [module, training] : training_) {
    if (module->is_training() != training) {
      module->train(training);
    }
  }
  at::NoGradGuard no_grad;
  for (const auto& [tensor, copy] : saved_) {
    tensor.variable_data().copy_(copy);  // leaves the version counter alone, which autograd may watch
  }
  for (auto& [generator, state] : generators_) {
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state);
  }
}

}  // namespace dynascope::network
