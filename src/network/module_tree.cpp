// SPDX-License-Identifier: BSD-3-Clause
#include "module_tree.hpp"

#include <dynascope/error.hpp>

#include <string>
#include <unordered_set>
#include <utility>

namespace dynascope::network {
namespace {

class Walk {
 public:
  ModuleTree tree;

  void visit(const std::string& prefix, torch::nn::Module& module) {
    if (!seen_.insert(&module).second) {
      return;
    }
    tree.modules.push_back(&module);
    for (const auto& parameter : module.named_parameters(/*recurse=*/false)) {
      if (parameter.value().defined() && seen_.insert(parameter.value().unsafeGetTensorImpl()).second) {
        tree.parameters.push_back({join(prefix, parameter.key()), parameter.value()});
      }
    }
    for (const auto& buffer : module.named_buffers(/*recurse=*/false)) {
      if (buffer.value().defined() && seen_.insert(buffer.value().unsafeGetTensorImpl()).second) {
        tree.buffers.push_back(buffer.value());
      }
    }
    for (const auto& child : module.named_children()) {
      visit(join(prefix, child.key()), *child.value());
    }
  }

 private:
  static std::string join(const std::string& prefix, const std::string& name) {
    return prefix.empty() ? name : prefix + "." + name;
  }

  std::unordered_set<const void*> seen_;
};

}  // namespace

ModuleTree walk_modules(const NamedModules& modules) {
  Walk walk;
  std::unordered_set<std::string> names;
  for (const auto& [name, module] : modules) {
    if (!names.insert(name).second) {
      throw Error("modules must have names of their own, got two called \"" + name + "\"");
    }
    walk.visit(name, *module);
  }
  return std::move(walk.tree);
}

std::string unmeasurable(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  if (tensor.layout() != at::kStrided) {
    return "not a dense tensor, which is not measured";
  }
  if (type != at::kFloat && type != at::kDouble && type != at::kBFloat16 && type != at::kHalf) {
    return std::string("of type ") + c10::toString(type) + ", which is not measured";
  }
  return "";
}

at::Tensor sibling_bias(const ModuleTree& tree, const NamedParameter& weight) {
  const size_t dot = weight.name.rfind('.');
  const std::string name = (dot == std::string::npos ? "" : weight.name.substr(0, dot + 1)) + "bias";
  for (const NamedParameter& parameter : tree.parameters) {
    if (parameter.name == name && parameter.value.dim() == 1 && parameter.value.size(0) == weight.value.size(0) &&
        unmeasurable(parameter.value).empty()) {
      return parameter.value;
    }
  }
  return {};
}

}  // namespace dynascope::network
