// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The weights that the engine is measured on: real networks, and shapes at the edges.

#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace dynascope::bench {

struct Workload {
  std::string name;
  /// Weights alone, or a whole network with node layers; made when asked for.
  std::function<Network(const at::TensorOptions&)> make;
  bool cold = false;  ///< caches are emptied before each measurement
};

const std::vector<Workload>& workloads();

/// Those that only a GPU is asked for: a gigabyte and more, and shapes of every kind at 64 MB and more.
const std::vector<Workload>& large_workloads();

}  // namespace dynascope::bench
