// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/module_ref.hpp>
#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace dynascope::network {

/// What modules hold, found by walking them: torch's named_parameters() repeats tied parameters, and named_modules()
/// throws on a module that no shared_ptr holds.
struct ModuleTree {
  std::vector<NamedParameter> parameters;   ///< each tensor once, under its first name
  std::vector<at::Tensor> buffers;          ///< likewise
  std::vector<torch::nn::Module*> modules;  ///< parents before children, each once
};

ModuleTree walk_modules(const NamedModules& modules);

/// Why links held by `tensor` cannot be measured; empty where they can.
std::string unmeasurable(const at::Tensor& tensor);

/// The parameter "bias" beside `weight` when it has an element for each of its rows; undefined otherwise.
at::Tensor sibling_bias(const ModuleTree& tree, const NamedParameter& weight);

}  // namespace dynascope::network
