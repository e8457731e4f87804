// SPDX-License-Identifier: BSD-3-Clause
#include "footprint.hpp"
#include "module_tree.hpp"

#include <dynascope/error.hpp>
#include <dynascope/trace.hpp>

#include <ATen/ATen.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <optional>
#include <string>

namespace dynascope {
namespace {

/// The first module below `module` that has parameters of its own, in the order in which a Sequential runs.
torch::nn::Module* first_with_parameters(torch::nn::Module& module) {
  if (!module.named_parameters(/*recurse=*/false).is_empty()) {
    return &module;
  }
  for (const auto& child : module.children()) {
    if (auto* found = first_with_parameters(*child); found != nullptr) {
      return found;
    }
  }
  return nullptr;
}

bool is_sequential(torch::nn::Module& module) { return dynamic_cast<torch::nn::SequentialImpl*>(&module) != nullptr; }

std::optional<Network> run_sequential(const NamedModules& modules, const network::ModuleTree& tree) {
  if (modules.size() != 1 || !is_sequential(*modules[0].second)) {
    return {};
  }
  auto& sequential = dynamic_cast<torch::nn::SequentialImpl&>(*modules[0].second);
  auto* linear = dynamic_cast<torch::nn::LinearImpl*>(first_with_parameters(sequential));
  if (linear == nullptr) {
    return {};
  }
  const network::Footprint footprint(tree);
  // Two rows: an example of one would hide what the batch axis is.
  const at::Tensor example = at::randn({2, linear->weight.size(1)}, linear->weight.options().requires_grad(false));
  try {
    return trace(
        modules, [&] { return sequential.forward(example); }, TraceOptions().inputs({example}));
  } catch (const c10::Error&) {
    return {};  // it wants another example
  }
}

}  // namespace

Network walk(const NamedModules& modules) {
  for (const auto& [name, module] : modules) {
    if (module.get() == nullptr) {
      throw Error("a module to walk must not be null" + (name.empty() ? std::string() : ", got null for " + name));
    }
  }
  const network::ModuleTree tree = network::walk_modules(modules);
  if (auto network = run_sequential(modules, tree); network.has_value()) {
    return *network;
  }
  Network network;
  network.parameters = tree.parameters;
  for (const NamedParameter& parameter : tree.parameters) {
    if (const std::string reason = network::unmeasurable(parameter.value); !reason.empty()) {
      network.skipped.push_back({parameter.name, reason});
    } else if (parameter.value.dim() >= 2) {
      WeightLayer layer;
      layer.name = parameter.name;
      layer.operator_name = "unknown";
      layer.weight = parameter.value;
      layer.bias = sibling_bias(tree, parameter);
      network.weight_layers.push_back(std::move(layer));
    }
  }
  network.skipped.push_back(
      {"node layers", "no forward pass was traced, so weights are measured one by one: call trace() with an example"});
  check(network);
  return network;
}

}  // namespace dynascope
