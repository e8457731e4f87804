// SPDX-License-Identifier: BSD-3-Clause

// Strengths of stored units, and their summary, one node layer at a time. Lanes of the summary are the work items: a
// lane takes every kSummaryLanes-th unit, whoever computes it.

#include "engine/arithmetic.hpp"
#include "engine/cpu/passes.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

namespace dynascope::engine::cpu {
namespace {

void measure_lanes(const Tables& tables, const NodePlan& node, double shift, int64_t begin, int64_t end,
                   LaneSums* lanes, std::byte* row) {
  for (int64_t first = 0; first < node.units; first += kSummaryLanes) {
    for (int64_t lane = begin; lane < end && first + lane < node.units; ++lane) {
      const int64_t unit = first + lane;
      const UnitStrength strength = strength_of(tables, node, unit);
      store_unit(node, row, unit, strength);
      add(lanes[lane], strength.in + strength.out, shift, tables.indices[node.multiplicity + unit]);
    }
  }
}

void measure_layer(const Tables& tables, int64_t layer, std::byte* row) {
  const NodePlan& node = tables.nodes[layer];
  LaneSums lanes[kSummaryLanes];
  std::fill_n(lanes, kSummaryLanes, no_sums());
  double shift = 0.0;
  if (node.units > 0) {
    const UnitStrength first = strength_of(tables, node, 0);
    shift = shift_of(first.in + first.out);
  }
  constexpr int64_t kUnitsPerThread = 4096;
  const int64_t rounds = std::max<int64_t>(1, node.units / kSummaryLanes);
  const int64_t grain = std::clamp<int64_t>(kUnitsPerThread / rounds, 1, kSummaryLanes);
  at::parallel_for(0, kSummaryLanes, grain,
                   [&](int64_t begin, int64_t end) { measure_lanes(tables, node, shift, begin, end, lanes, row); });
  store_node(tables.offsets, row, layer, moments_of(fold(lanes, kSummaryLanes, join), shift));
}

}  // namespace

void nodes(const Tables& tables, std::byte* row) {
  for (int64_t layer = 0; layer < tables.node_count; ++layer) {
    measure_layer(tables, layer, row);
  }
}

}  // namespace dynascope::engine::cpu
