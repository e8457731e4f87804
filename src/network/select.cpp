// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/trace.hpp>

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace dynascope {
namespace {

void renumber(std::vector<LinkEnd>& ends, const std::vector<int32_t>& position) {
  for (LinkEnd& end : ends) {
    end.node_layer = end.node_layer < 0 ? -1 : position[static_cast<size_t>(end.node_layer)];
  }
}

bool is_gone(const LinkEnd& end) { return end.node_layer < 0; }

bool is_plain(const LinkEnd& end) {
  return std::all_of(end.resampling.begin(), end.resampling.end(),
                     [](const Resampling& resampling) { return resampling.coefficients.empty(); });
}

/// What the sources link to stays known when a target is not written: resampled targets, or one of several, are kept.
template <typename Layer>
void renumber(Layer& layer, const std::vector<int32_t>& position) {
  renumber(layer.sources, position);
  renumber(layer.targets, position);
  layer.sources.erase(std::remove_if(layer.sources.begin(), layer.sources.end(), is_gone), layer.sources.end());
  if (layer.targets.size() == 1 && is_gone(layer.targets[0]) && is_plain(layer.targets[0])) {
    layer.targets.clear();
  }
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
        if (is_gone(end)) {
          continue;
        }
        std::string& by = gone[static_cast<size_t>(end.node_layer)];
        by = by.empty() ? layer.name : by;
      }
    }
  }

  for (const ComputedWeight& computed : network.computed) {
    if (std::any_of(result.weight_layers.begin(), result.weight_layers.end(), [&](const WeightLayer& layer) {
          return layer.weight.is_alias_of(computed.value) ||
                 (layer.bias.defined() && layer.bias.is_alias_of(computed.value));
        })) {
      result.computed.push_back(computed);
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
    renumber(layer, position);
  }
  for (IdentityLayer layer : network.identity_layers) {
    renumber(layer, position);
    if (!layer.sources.empty() || !layer.targets.empty()) {
      result.identity_layers.push_back(std::move(layer));
    }
  }
  return result;
}

}  // namespace dynascope
