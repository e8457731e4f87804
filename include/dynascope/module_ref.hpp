// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace dynascope {

/// Any spelling of a torch::nn::Module: a reference, a shared_ptr, or a TORCH_MODULE holder.
///
/// A module given as shared_ptr or holder is kept alive; one given by reference must outlive this object.
class ModuleRef {
 public:
  template <typename M, typename = std::enable_if_t<std::is_base_of_v<torch::nn::Module, M>>>
  ModuleRef(M& module) : module_(&module) {}  // NOLINT(google-explicit-constructor)

  template <typename M, typename = std::enable_if_t<std::is_base_of_v<torch::nn::Module, M>>>
  ModuleRef(const std::shared_ptr<M>& module)  // NOLINT(google-explicit-constructor)
      : owner_(module), module_(module.get()) {}

  template <typename M>
  ModuleRef(const torch::nn::ModuleHolder<M>& holder)  // NOLINT(google-explicit-constructor)
      : ModuleRef(holder.ptr()) {}

  torch::nn::Module& operator*() const noexcept { return *module_; }
  torch::nn::Module* operator->() const noexcept { return module_; }
  torch::nn::Module* get() const noexcept { return module_; }

 private:
  std::shared_ptr<torch::nn::Module> owner_;
  torch::nn::Module* module_ = nullptr;
};

/// Several networks in one run, each under a name that prefixes its paths ("actor.fc1"); an empty name adds no prefix.
using NamedModules = std::vector<std::pair<std::string, ModuleRef>>;

}  // namespace dynascope
