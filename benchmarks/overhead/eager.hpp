// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>

namespace overhead {

/// What a user would write: after each step, layer by layer, the sums and the deviation of every weight, fetched to the
/// host and appended to datasets of an HDF5 file.
class Eager {
 public:
  Eager(const torch::nn::Module& module, const std::string& path);
  ~Eager();
  void record();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace overhead
