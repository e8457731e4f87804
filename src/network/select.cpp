// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/trace.hpp>

#include <cstddef>
#include <utility>

namespace dynascope {
namespace {

/// Drops ends at node layers that are gone and renumbers the others.
void renumber(std::vector<LinkEnd>& ends, const std::vector<int32_t>& position) {
  std::vector<LinkEnd> kept;
  for (LinkEnd& end : ends) {
    end.node_layer = position[static_cast<size_t>(end.node_layer)];
    if (end.node_layer >= 0) {
      kept.push_back(std::move(end));
    }
  }
  ends = std::move(kept);
}

}  // namespace

Network select(const Network& network, const std::function<bool(const std::string& path)>& keep) {
  Network result;
  result.skipped = network.skipped;
  result.parameters = network.parameters;

  std::vector<std::string> gone(network.node_layers.size());
  for (const WeightLayer& layer : network.weight_layers) {
    if (keep(layer.name)) {
      result.weight_layers.push_back(layer);
      continue;
    }
    result.skipped.push_back({layer.name, "excluded"});
    for (const auto* ends : {&layer.sources, &layer.targets}) {
      for (const LinkEnd& end : *ends) {
        std::string& by = gone[static_cast<size_t>(end.node_layer)];
        by = by.empty() ? layer.name : by;
      }
    }
  }

  std::vector<int32_t> position(network.node_layers.size(), -1);
  for (size_t i = 0; i < network.node_layers.size(); ++i) {
    const NodeLayer& layer = network.node_layers[i];
    if (gone[i].empty()) {
      position[i] = static_cast<int32_t>(result.node_layers.size());
      result.node_layers.push_back(layer);
    } else {
      result.skipped.push_back({layer.name, "excluded: " + gone[i] + ", which links it, is excluded"});
    }
  }
  for (WeightLayer& layer : result.weight_layers) {
    renumber(layer.sources, position);
    renumber(layer.targets, position);
  }
  return result;
}

}  // namespace dynascope
