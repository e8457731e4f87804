// SPDX-License-Identifier: BSD-3-Clause
#include "hand_network.hpp"

#include <cstring>

namespace dynascope::test {

int32_t add_node(Network& network, std::string name, std::vector<int64_t> shape, Role role) {
  NodeLayer node;
  node.name = std::move(name);
  node.shape = std::move(shape);
  node.role = role;
  node.input = role == Role::kInput;
  node.output = role == Role::kOutput;
  network.node_layers.push_back(std::move(node));
  return static_cast<int32_t>(network.node_layers.size()) - 1;
}

WeightLayer& add_link(Network& network, std::string name, at::Tensor weight, at::Tensor bias, int32_t source,
                      int32_t target) {
  WeightLayer layer;
  layer.name = std::move(name);
  layer.operator_name = "linear";
  layer.weight = std::move(weight);
  layer.bias = std::move(bias);
  if (source >= 0) {
    layer.sources.emplace_back().node_layer = source;
  }
  if (target >= 0) {
    layer.targets.emplace_back().node_layer = target;
  }
  network.weight_layers.push_back(std::move(layer));
  return network.weight_layers.back();
}

Network single_weight(at::Tensor weight, at::Tensor bias) {
  Network network;
  add_link(network, "w", std::move(weight), std::move(bias), -1, -1);
  return network;
}

Network chain(const std::vector<std::pair<at::Tensor, at::Tensor>>& layers) {
  Network network;
  int32_t source = add_node(network, "input", {layers.front().first.size(1)}, Role::kInput);
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool last = i + 1 == layers.size();
    const int32_t target = add_node(network, last ? "output" : "h" + std::to_string(i + 1), {layers[i].first.size(0)},
                                    last ? Role::kOutput : Role::kHidden);
    add_link(network, "fc" + std::to_string(i + 1) + ".weight", layers[i].first, layers[i].second, source, target);
    source = target;
  }
  return network;
}

at::Tensor tensor(std::vector<double> values, std::vector<int64_t> shape, at::ScalarType dtype) {
  return torch::tensor(values, torch::kDouble).view(shape).to(dtype);
}

std::vector<double> values(const engine::Plan& plan, const std::vector<std::byte>& row, const std::string& path) {
  const Span& span = plan.layout().at(path);
  std::vector<double> result;
  for (int64_t i = 0; i < span.count; ++i) {
    const std::byte* at = row.data() + span.offset + i * size_of(span.type);
    if (span.type == RowType::kFloat32) {
      float value;
      std::memcpy(&value, at, sizeof value);
      result.push_back(static_cast<double>(value));
    } else if (span.type == RowType::kFloat64) {
      double value;
      std::memcpy(&value, at, sizeof value);
      result.push_back(value);
    } else {
      int64_t value;
      std::memcpy(&value, at, sizeof value);
      result.push_back(static_cast<double>(value));
    }
  }
  return result;
}

std::vector<double> unit_map(const engine::Plan& plan, const std::vector<std::byte>& row, size_t index,
                             const std::string& metric) {
  const auto& layers = plan.description().node_layers;
  const NodeLayerInfo& layer = layers[index];
  const std::vector<double> stored =
      values(plan, row, node_layer_path(index, layers.size(), layer.name) + "/" + metric);
  at::Tensor map = torch::tensor(stored, torch::kDouble).view(layer.stored_shape);
  for (size_t d = 0; d < layer.classes.size(); ++d) {
    if (!layer.classes[d].empty()) {
      map = map.index_select(static_cast<int64_t>(d), torch::tensor(layer.classes[d], torch::kInt).to(torch::kLong));
    }
  }
  EXPECT_EQ(map.sizes().vec(), layer.shape);
  map = map.contiguous();
  return std::vector<double>(map.const_data_ptr<double>(), map.const_data_ptr<double>() + map.numel());
}

std::vector<std::byte> bits(const engine::Plan& plan, const std::vector<std::byte>& row, const std::string& path) {
  const Span& span = plan.layout().at(path);
  return std::vector<std::byte>(row.begin() + span.offset, row.begin() + span.offset + span.count * size_of(span.type));
}

void set_edges(engine::Plan& plan, double low, double high) {
  const int64_t bins = plan.options().histogram_bins;
  std::vector<double> edges;
  for (size_t layer = 0; layer < plan.description().weight_layers.size(); ++layer) {
    for (int64_t bin = 0; bin <= bins; ++bin) {
      edges.push_back(low + (high - low) * static_cast<double>(bin) / static_cast<double>(bins));
    }
  }
  plan.set_histogram_edges(edges);
}

}  // namespace dynascope::test
