// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "chain.hpp"
#include "graph.hpp"

#include <dynascope/metrics.hpp>

#include <string>
#include <vector>

namespace oracle {

/// The network of `chain`, from one forward pass.
dynascope::Network trace(Chain& chain);

/// The same network, made with a NetworkBuilder.
dynascope::Network build(const Chain& chain);

std::vector<std::string> node_names(const dynascope::Network& network);
std::vector<std::string> weight_names(const dynascope::Network& network);

/// Position of the node layer `name`; fails the test and gives 0 where there is none.
size_t node_layer(const dynascope::Network& network, const std::string& name);

/// Strengths of the node layer `name`, one per unit, flattened, float64 on the CPU.
at::Tensor units_of(const dynascope::Network& network, const std::string& name,
                    const dynascope::MetricOptions& options = {});

/// Expects strengths of chain's definition: |difference| <= 1e-6 (1 + sum of absolute values along the links), and
/// layer fluctuations and multiplicities that belong to them.
void expect_strengths(const Chain& chain, const dynascope::Network& network, const dynascope::MetricOptions& options);

/// Expects every node layer of `graph`, with the strengths of its definition, and nothing skipped.
void expect_graph(const Graph& graph, const std::string& what);

/// Expects |got - expected| <= 1e-6 (1 + |expected|) everywhere.
void expect_close(const at::Tensor& got, const at::Tensor& expected);

}  // namespace oracle
