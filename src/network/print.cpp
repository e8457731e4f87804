// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace dynascope {
namespace {

template <typename Sizes>
void print_sizes(std::ostream& stream, const Sizes& sizes) {
  const char* separator = "[";
  for (const int64_t size : sizes) {
    stream << separator << size;
    separator = ", ";
  }
  stream << (sizes.empty() ? "[]" : "]");
}

void print_ends(std::ostream& stream, const Network& network, const std::vector<LinkEnd>& ends) {
  const char* separator = "";
  for (const LinkEnd& end : ends) {
    stream << separator
           << (end.node_layer < 0 ? "?" : network.node_layers[static_cast<size_t>(end.node_layer)].name.c_str());
    separator = ", ";
    if (end.per_unit) {
      stream << (end.order.empty() ? " (units)" : " (units, reordered)");
    }
    for (const auto& cells : end.cells) {
      if (!cells.empty()) {
        stream << " (" << cells.size() << " cells)";
      }
    }
    for (const Resampling& resampling : end.resampling) {
      if (!resampling.coefficients.empty()) {
        stream << " (" << resampling.produced << " to " << resampling.seen << ")";
      }
    }
  }
  stream << (ends.empty() ? "?" : "");
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const Network& network) {
  for (const NodeLayer& layer : network.node_layers) {
    stream << "node layer    " << layer.name << " ";
    print_sizes(stream, layer.shape);
    stream << (layer.input ? " input" : "") << (layer.output ? " output" : "") << "\n";
  }
  for (const WeightLayer& layer : network.weight_layers) {
    stream << "weight layer  " << layer.name << " ";
    print_sizes(stream, layer.weight.sizes());
    const bool computed = std::any_of(network.computed.begin(), network.computed.end(),
                                      [&](const ComputedWeight& c) { return layer.weight.is_alias_of(c.value); });
    stream << (computed ? " computed, " : " ") << layer.operator_name << (layer.bias.defined() ? " with bias: " : ": ");
    print_ends(stream, network, layer.sources);
    stream << " -> ";
    print_ends(stream, network, layer.targets);
    stream << "\n";
  }
  for (const IdentityLayer& layer : network.identity_layers) {
    stream << "identity      ";
    print_ends(stream, network, layer.sources);
    stream << " -> ";
    print_ends(stream, network, layer.targets);
    stream << "\n";
  }
  for (const SkippedInfo& skipped : network.skipped) {
    stream << "skipped       " << skipped.name << ": " << skipped.reason << "\n";
  }
  if (!network.weight_layers.empty()) {
    stream << "placed        " << std::floor(placed_share(network) * 1000) / 10 << " % of the weights\n";
  }
  return stream;
}

double placed_share(const Network& network) {
  const auto written = [](const LinkEnd& end) { return end.node_layer >= 0; };
  int64_t all = 0, placed = 0;
  for (const WeightLayer& layer : network.weight_layers) {
    const int64_t count = layer.weight.numel();
    const bool links = std::any_of(layer.sources.begin(), layer.sources.end(), written) &&
                       std::any_of(layer.targets.begin(), layer.targets.end(), written);
    all += count;
    placed += links ? count : 0;
  }
  return all == 0 ? 1.0 : static_cast<double>(placed) / static_cast<double>(all);
}

}  // namespace dynascope
