// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the tests of this room say about a Network in one line each.

#include <dynascope/network.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dynascope::test {

inline std::vector<std::string> node_names(const Network& network) {
  std::vector<std::string> names;
  for (const NodeLayer& layer : network.node_layers) {
    names.push_back(layer.name);
  }
  return names;
}

inline std::vector<std::string> weight_names(const Network& network) {
  std::vector<std::string> names;
  for (const WeightLayer& layer : network.weight_layers) {
    names.push_back(layer.name);
  }
  return names;
}

inline const NodeLayer& node(const Network& network, const std::string& name) {
  for (const NodeLayer& layer : network.node_layers) {
    if (layer.name == name) {
      return layer;
    }
  }
  ADD_FAILURE() << "no node layer " << name << " in\n" << network;
  static const NodeLayer kNone;
  return kNone;
}

inline const WeightLayer& weight(const Network& network, const std::string& name) {
  for (const WeightLayer& layer : network.weight_layers) {
    if (layer.name == name) {
      return layer;
    }
  }
  ADD_FAILURE() << "no weight layer " << name << " in\n" << network;
  static const WeightLayer kNone;
  return kNone;
}

/// Name of the node layer at an end, "?" where it is not written.
inline std::string at(const Network& network, const LinkEnd& end) {
  return end.node_layer < 0 ? "?" : network.node_layers.at(static_cast<size_t>(end.node_layer)).name;
}

/// "input -> fc1.weight -> fc1", one per weight layer; ends of one side joined by "+", "" where there is none.
inline std::vector<std::string> chain(const Network& network) {
  std::vector<std::string> lines;
  for (const WeightLayer& layer : network.weight_layers) {
    std::string sources, targets;
    for (const LinkEnd& end : layer.sources) {
      sources += (sources.empty() ? "" : "+") + at(network, end);
    }
    for (const LinkEnd& end : layer.targets) {
      targets += (targets.empty() ? "" : "+") + at(network, end);
    }
    lines.push_back(sources + " -> " + layer.name + " -> " + targets);
  }
  return lines;
}

/// The reason that is given for `name`; empty where it is not skipped.
inline std::string reason(const Network& network, const std::string& name) {
  for (const SkippedInfo& skipped : network.skipped) {
    if (skipped.name == name) {
      return skipped.reason;
    }
  }
  return "";
}

using Names = std::vector<std::string>;
using Shape = std::vector<int64_t>;
using Lines = std::vector<std::string>;

}  // namespace dynascope::test
