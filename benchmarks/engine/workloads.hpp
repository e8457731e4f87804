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
  std::function<Network()> make;
  bool cold = false;  ///< caches are emptied before each measurement
};

const std::vector<Workload>& workloads();

}  // namespace dynascope::bench
