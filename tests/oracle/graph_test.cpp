// SPDX-License-Identifier: BSD-3-Clause
// Random networks with branches, sums, joins, slices and resampling, all of whose node layers must be placed.
#include "graph.hpp"

#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

namespace oracle {
namespace {

/// DYNASCOPE_GRAPHS sets how many networks are tried, DYNASCOPE_GRAPH_SEED the seed of the first.
uint64_t number(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void expect_layers(const Graph& graph, const dynascope::Network& network) {
  const std::vector<ExpectedLayer> expected = expected_layers(graph);
  const auto strengths = dynascope::node_strength(network);
  const auto info = dynascope::node_layer_info(network);
  EXPECT_TRUE(network.skipped.empty());
  EXPECT_EQ(info.size(), expected.size());
  for (const ExpectedLayer& layer : expected) {
    SCOPED_TRACE(layer.name);
    const auto found = std::find_if(info.begin(), info.end(), [&](const auto& i) { return i.name == layer.name; });
    if (found == info.end()) {
      ADD_FAILURE() << "is no node layer";
      continue;
    }
    const at::Tensor units = expand(*found, strengths[static_cast<size_t>(found - info.begin())]);
    const at::Tensor full = spread(units, layer.strength);
    ASSERT_TRUE(full.defined()) << units.sizes() << " for " << layer.strength.sizes();
    expect_close(full, layer.strength.flatten());
  }
}

TEST(RandomGraph, EveryNodeLayerHasTheStrengthsOfItsDefinition) {
  const uint64_t first = number("DYNASCOPE_GRAPH_SEED", 20000), count = number("DYNASCOPE_GRAPHS", 500);
  std::cout << "seeds " << first << " to " << first + count - 1 << "\n";
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const auto graph = random_graph(seed);
    const dynascope::Network network = graph->trace();
    std::ostringstream text;
    text << "seed " << seed << "\n" << graph->text << network;
    SCOPED_TRACE(text.str());
    expect_layers(*graph, network);
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace oracle
