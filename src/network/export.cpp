// SPDX-License-Identifier: BSD-3-Clause
// The graph in formats that others read.
#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include <set>
#include <sstream>
#include <utility>

namespace dynascope {
namespace {

/// Node layers at ends, each once, in order.
std::vector<int32_t> layers_at(const std::vector<LinkEnd>& ends) {
  std::vector<int32_t> result;
  std::set<int32_t> seen;
  for (const LinkEnd& end : ends) {
    if (end.node_layer >= 0 && seen.insert(end.node_layer).second) {
      result.push_back(end.node_layer);
    }
  }
  return result;
}

std::string in_quotes(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    result += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  }
  return result + "\"";
}

std::string label(const NodeLayer& layer) {
  std::string text = layer.name + "\n";
  for (size_t i = 0; i < layer.shape.size(); ++i) {
    text += (i == 0 ? "" : " x ") + std::to_string(layer.shape[i]);
  }
  std::string result = in_quotes(text);
  for (size_t at = result.find('\n'); at != std::string::npos; at = result.find('\n')) {
    result.replace(at, 1, "\\n");
  }
  return result;
}

template <typename Layer>
void add_arrows(std::ostream& stream, const Layer& layer, const std::string& attributes) {
  for (const int32_t source : layers_at(layer.sources)) {
    for (const int32_t target : layers_at(layer.targets)) {
      stream << "  " << source << " -> " << target << " [" << attributes << "];\n";
    }
  }
}

nlohmann::ordered_json names(const Network& network, const std::vector<LinkEnd>& ends) {
  nlohmann::ordered_json result = nlohmann::ordered_json::array();
  for (const int32_t layer : layers_at(ends)) {
    result.push_back(network.node_layers[static_cast<size_t>(layer)].name);
  }
  return result;
}

}  // namespace

std::string to_dot(const Network& network) {
  std::ostringstream stream;
  stream << "digraph network {\n  node [shape=box];\n";
  for (size_t i = 0; i < network.node_layers.size(); ++i) {
    const NodeLayer& layer = network.node_layers[i];
    stream << "  " << i << " [label=" << label(layer) << (layer.input || layer.output ? ", style=bold" : "") << "];\n";
  }
  for (const WeightLayer& layer : network.weight_layers) {
    add_arrows(stream, layer, "label=" + in_quotes(layer.name));
  }
  for (const IdentityLayer& layer : network.identity_layers) {
    add_arrows(stream, layer, "style=dashed");
  }
  stream << "}\n";
  return stream.str();
}

std::string to_json(const Network& network) {
  nlohmann::ordered_json result;
  result["node_layers"] = nlohmann::ordered_json::array();
  for (const NodeLayer& layer : network.node_layers) {
    result["node_layers"].push_back(
        {{"name", layer.name}, {"role", std::string(to_string(layer.role))}, {"shape", layer.shape}});
  }
  result["weight_layers"] = nlohmann::ordered_json::array();
  for (const WeightLayer& layer : network.weight_layers) {
    result["weight_layers"].push_back({{"name", layer.name},
                                       {"operator", layer.operator_name},
                                       {"shape", layer.weight.sizes().vec()},
                                       {"bias", layer.bias.defined()},
                                       {"sources", names(network, layer.sources)},
                                       {"targets", names(network, layer.targets)}});
  }
  result["identity_layers"] = nlohmann::ordered_json::array();
  for (const IdentityLayer& layer : network.identity_layers) {
    result["identity_layers"].push_back(
        {{"sources", names(network, layer.sources)}, {"targets", names(network, layer.targets)}});
  }
  result["skipped"] = nlohmann::ordered_json::array();
  for (const SkippedInfo& skipped : network.skipped) {
    result["skipped"].push_back({{"name", skipped.name}, {"reason", skipped.reason}});
  }
  return result.dump(2);
}

}  // namespace dynascope
