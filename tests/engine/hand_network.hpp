// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Networks made by hand, and rows read back, for the tests of the engine.

#include "engine/plan.hpp"

#include <dynascope/network.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::test {

/// Adds a node layer; the first is to be the input, the last the output.
int32_t add_node(Network& network, std::string name, std::vector<int64_t> shape, Role role = Role::kHidden);

/// Adds a weight layer from `source` to `target` (either may be -1); kernel axes come later.
WeightLayer& add_link(Network& network, std::string name, at::Tensor weight, at::Tensor bias, int32_t source,
                      int32_t target);

/// One weight that touches no node layer.
Network single_weight(at::Tensor weight, at::Tensor bias = {});

/// Linear layers of the given weights in a row: node layers "input", "h1", ..., "output".
Network chain(const std::vector<std::pair<at::Tensor, at::Tensor>>& layers);

/// A tensor of the given values, float64 unless told otherwise.
at::Tensor tensor(std::vector<double> values, std::vector<int64_t> shape, at::ScalarType dtype = at::kDouble);

/// Values of a span, as doubles.
std::vector<double> values(const engine::Plan& plan, const std::vector<std::byte>& row, const std::string& path);

/// One value per unit of node layer `index`: a stored metric, expanded by class.
std::vector<double> unit_map(const engine::Plan& plan, const std::vector<std::byte>& row, size_t index,
                             const std::string& metric = "strength");

/// Bits of a span, to compare NaN and signed zeros too.
std::vector<std::byte> bits(const engine::Plan& plan, const std::vector<std::byte>& row, const std::string& path);

/// Edges of `bins` equal bins from `low` to `high`, for every weight layer of `plan`.
void set_edges(engine::Plan& plan, double low, double high);

}  // namespace dynascope::test
