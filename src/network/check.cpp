// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/error.hpp>
#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <numeric>
#include <sstream>
#include <string>
#include <unordered_set>

namespace dynascope {
namespace {

template <typename... T>
[[noreturn]] void fail(const T&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(message.str());
}

template <typename... T>
void require(bool fine, const T&... parts) {
  if (!fine) {
    fail(parts...);
  }
}

int64_t product(const std::vector<int64_t>& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

/// What is checked alike of weight layers and of identity layers.
struct Links {
  std::string name;
  const std::vector<ConvolutionAxis>* axes;
};

int64_t outputs_of(const WeightLayer& layer) {
  return layer.transposed ? layer.weight.size(1) * layer.groups : layer.weight.size(0);
}

int64_t inputs_of(const WeightLayer& layer) {
  return layer.transposed ? layer.weight.size(0) : layer.weight.size(1) * layer.groups;
}

void check_node_layer(const NodeLayer& layer) {
  require(!layer.name.empty(), "a node layer has no name; give every layer one");
  require(!layer.shape.empty(), "node layer ", layer.name, " has no axis; expected features or channels first");
  for (const int64_t size : layer.shape) {
    require(size > 0, "node layer ", layer.name, " has an axis of size ", size, "; sizes must be at least 1");
  }
}

void check_axis(const WeightLayer& layer, size_t position) {
  const ConvolutionAxis& axis = layer.axes[position];
  const int64_t taps = layer.weight.size(static_cast<int64_t>(position) + 2);
  require(axis.kernel == taps, layer.name, ": axis ", position, " has kernel ", axis.kernel, ", but the weight has ",
          taps, " taps there");
  require(axis.input > 0 && axis.output > 0 && axis.stride > 0 && axis.dilation > 0, layer.name, ": axis ", position,
          " must have positive sizes, stride and dilation, got input ", axis.input, ", output ", axis.output,
          ", stride ", axis.stride, ", dilation ", axis.dilation);
}

void check_weight(const WeightLayer& layer) {
  require(!layer.name.empty(), "a weight layer has no name; give every layer one");
  require(layer.weight.defined() && layer.weight.dim() >= 2, layer.name,
          ": the weight must have at least 2 dimensions (out, in, taps...), got ",
          layer.weight.defined() ? std::to_string(layer.weight.dim()) : std::string("an undefined tensor"));
  require(layer.groups >= 1 && layer.weight.size(0) % layer.groups == 0, layer.name, ": dimension 0 of the weight (",
          layer.weight.size(0), ") must be a multiple of groups (", layer.groups, ")");
  const bool placed = !layer.sources.empty() || !layer.targets.empty();
  require(!placed || static_cast<int64_t>(layer.axes.size()) == layer.weight.dim() - 2, layer.name,
          ": must have one axis per kernel dimension, got ", layer.axes.size(), " for a weight of ", layer.weight.dim(),
          " dimensions");
  for (size_t axis = 0; axis < layer.axes.size(); ++axis) {
    check_axis(layer, axis);
  }
  if (layer.bias.defined()) {
    require(layer.bias.dim() == 1 && layer.bias.size(0) == outputs_of(layer), layer.name, ": the bias must be (",
            outputs_of(layer), ",), got ", layer.bias.sizes());
    require(layer.bias.device() == layer.weight.device(), layer.name, ": must be on one device, got ",
            layer.weight.device(), " for the weight and ", layer.bias.device(), " for the bias");
  }
}

/// Every index of the weight's side that the end reaches lies in [0, size).
void check_indices(const Links& layer, const LinkEnd& end, const NodeLayer& node, int64_t size) {
  const int64_t count = end.per_unit ? product(node.shape) : node.shape[0];
  require(end.blocks >= 1, layer.name, ": an end at ", node.name, " has ", end.blocks, " blocks; expected at least 1");
  int64_t low = end.first + std::min<int64_t>(0, (count - 1) * end.stride);
  int64_t high = end.first + std::max<int64_t>(0, (count - 1) * end.stride);
  if (!end.order.empty()) {
    require(static_cast<int64_t>(end.order.size()) == count, layer.name, ": the order at ", node.name, " has ",
            end.order.size(), " entries, the node layer ", count, end.per_unit ? " units" : " channels");
    const auto [smallest, largest] = std::minmax_element(end.order.begin(), end.order.end());
    require(*smallest >= -1, layer.name, ": the order at ", node.name, " holds ", *smallest);
    low = 0;
    high = *largest;
  }
  low += std::min<int64_t>(0, (end.blocks - 1) * end.block_stride);
  high += std::max<int64_t>(0, (end.blocks - 1) * end.block_stride);
  require(low >= 0 && high < size, layer.name, ": links at ", node.name, " reach indices ", low, " to ", high,
          ", the weight has ", size);
}

void check_resampling(const Links& layer, const LinkEnd& end, const NodeLayer& node) {
  if (end.resampling.empty()) {
    return;
  }
  require(end.resampling.size() == node.shape.size() - 1, layer.name, ": ", end.resampling.size(),
          " resamplings for the ", node.shape.size() - 1, " position axes of ", node.name);
  require(!end.per_unit, layer.name, ": resampling into ", node.name, " needs an end that counts channels");
  for (size_t axis = 0; axis < end.resampling.size(); ++axis) {
    const Resampling& resampling = end.resampling[axis];
    if (resampling.coefficients.empty()) {
      continue;
    }
    require(resampling.seen == node.shape[axis + 1], layer.name, ": resampling of axis ", axis, " makes ",
            resampling.seen, " coordinates, ", node.name, " has ", node.shape[axis + 1]);
    require(static_cast<int64_t>(resampling.coefficients.size()) == resampling.seen * resampling.produced, layer.name,
            ": resampling of axis ", axis, " must have ", resampling.seen, " x ", resampling.produced,
            " coefficients, got ", resampling.coefficients.size());
  }
}

void check_cells(const Links& layer, const LinkEnd& end, const NodeLayer& node) {
  require(end.cells.size() < node.shape.size(), layer.name, ": cells for ", end.cells.size(), " position axes of ",
          node.name, ", which has ", node.shape.size() - 1);
  for (size_t axis = 0; axis < end.cells.size(); ++axis) {
    for (const int64_t cell : end.cells[axis]) {
      require(cell >= 0 && cell < node.shape[axis + 1], layer.name, ": a cell on axis ", axis, " is coordinate ", cell,
              " of ", node.name, ", which has ", node.shape[axis + 1]);
    }
  }
}

/// A convolution's positions are the node layer's, before resampling on the side that it writes.
void check_positions(const Links& layer, const LinkEnd& end, const NodeLayer& node, bool target) {
  if ((*layer.axes).empty()) {
    return;
  }
  require(!end.per_unit, layer.name, ": a convolution's end at ", node.name, " must count channels");
  require((*layer.axes).size() == node.shape.size() - 1, layer.name, ": a convolution over ", (*layer.axes).size(),
          " axes cannot meet ", node.name, ", which has ", node.shape.size() - 1, " position axes");
  for (size_t axis = 0; axis < (*layer.axes).size(); ++axis) {
    int64_t size = node.shape[axis + 1];
    if (!target && axis < end.cells.size() && !end.cells[axis].empty()) {
      size = static_cast<int64_t>(end.cells[axis].size());
    }
    if (target && axis < end.resampling.size() && !end.resampling[axis].coefficients.empty()) {
      size = end.resampling[axis].produced;
    }
    const int64_t expected = target ? (*layer.axes)[axis].output : (*layer.axes)[axis].input;
    require(size == expected, layer.name, ": axis ", axis, target ? " writes " : " reads ", expected, " coordinates, ",
            node.name, " gives ", size);
  }
}

void check_end(const Network& network, const Links& layer, const LinkEnd& end, bool target, int64_t size) {
  const auto count = static_cast<int32_t>(network.node_layers.size());
  if (target && end.node_layer == -1) {
    return;
  }
  require(end.node_layer >= 0 && end.node_layer < count, layer.name, ": refers to node layer ", end.node_layer, " of ",
          count);
  const NodeLayer& node = network.node_layers[static_cast<size_t>(end.node_layer)];
  require(target || end.resampling.empty(), layer.name, ": resampling belongs to target ends, got it at source ",
          node.name);
  require(!target || end.cells.empty(), layer.name, ": cells belong to source ends, got them at target ", node.name);
  check_resampling(layer, end, node);
  check_cells(layer, end, node);
  check_positions(layer, end, node, target);
  check_indices(layer, end, node, size);
}

/// Units, or channels, that the ends of an identity layer count.
int64_t operand_size(const Network& network, const IdentityLayer& layer) {
  int64_t size = 0;
  for (const LinkEnd& end : layer.sources) {
    require(end.node_layer >= 0 && static_cast<size_t>(end.node_layer) < network.node_layers.size(),
            "identity links refer to node layer ", end.node_layer, " of ", network.node_layers.size());
    const auto& shape = network.node_layers[static_cast<size_t>(end.node_layer)].shape;
    size = std::max(size, end.per_unit ? product(shape) : shape[0]);
  }
  return size;
}

void check_identities(const Network& network) {
  static const std::vector<ConvolutionAxis> kNone;
  for (const IdentityLayer& layer : network.identity_layers) {
    const int64_t size = operand_size(network, layer);
    for (const LinkEnd& end : layer.sources) {
      check_end(network, {"identity links", &kNone}, end, false, size);
    }
    for (const LinkEnd& end : layer.targets) {  // without a written source nobody counts them
      check_end(network, {"identity links", &kNone}, end, true, layer.sources.empty() ? INT64_MAX : size);
    }
  }
}

}  // namespace

void check(const Network& network) {
  std::unordered_set<std::string> names;
  for (const NodeLayer& layer : network.node_layers) {
    check_node_layer(layer);
    require(names.insert(layer.name).second, "two node layers are called ", layer.name, "; names must be unique");
  }
  names.clear();
  for (const WeightLayer& layer : network.weight_layers) {
    check_weight(layer);
    require(names.insert(layer.name).second, "two weight layers are called ", layer.name, "; names must be unique");
    for (const LinkEnd& end : layer.sources) {
      check_end(network, {layer.name, &layer.axes}, end, false, inputs_of(layer));
    }
    for (const LinkEnd& end : layer.targets) {
      check_end(network, {layer.name, &layer.axes}, end, true, outputs_of(layer));
    }
  }
  check_identities(network);
  names.clear();
  for (const NamedParameter& parameter : network.parameters) {
    require(parameter.value.defined(), "parameter ", parameter.name, " is an undefined tensor");
    require(names.insert(parameter.name).second, "two parameters are called ", parameter.name,
            "; names must be unique");
  }
}

}  // namespace dynascope
