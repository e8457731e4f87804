// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "module_tree.hpp"

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <map>
#include <utility>
#include <vector>

namespace dynascope::network {

/// Puts modules into evaluation mode, and everything back as it was when it goes: training flags, default random-number
/// generators, buffers, and the parameters that were saved before someone wrote to them.
class Footprint {
 public:
  explicit Footprint(const ModuleTree& tree);
  ~Footprint();
  Footprint(const Footprint&) = delete;
  Footprint& operator=(const Footprint&) = delete;

  /// Call before the tensor is written to; copies it the first time.
  void save(const at::Tensor& tensor);

 private:
  void restore();

  std::vector<std::pair<torch::nn::Module*, bool>> training_;
  std::vector<std::pair<at::Generator, at::Tensor>> generators_;
  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;
};

}  // namespace dynascope::network
