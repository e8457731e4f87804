// SPDX-License-Identifier: BSD-3-Clause
#include "geometry.hpp"

#include <dynascope/error.hpp>

#include <algorithm>
#include <string>

namespace dynascope::engine {
namespace {

int64_t position_axes(const NodeLayer& node) { return static_cast<int64_t>(node.shape.size()) - 1; }

const Resampling* resampling_of(const LinkEnd& target, size_t axis) {
  return axis < target.resampling.size() && !target.resampling[axis].coefficients.empty() ? &target.resampling[axis]
                                                                                          : nullptr;
}

// The coefficients as they are worth keeping: ones need no table.
std::vector<double> unless_ones(std::vector<double> table) {
  const bool ones = std::all_of(table.begin(), table.end(), [](double value) { return value == 1.0; });
  return ones ? std::vector<double>() : table;
}

class Builder {
 public:
  Builder(const Network& network, const MetricOptions& options)
      : network_(network), options_(options), geometries_(network.node_layers.size()) {}

  std::vector<Geometry> build() {
    for (size_t i = 0; i < network_.weight_layers.size(); ++i) {
      const WeightLayer& layer = network_.weight_layers[i];
      for (const LinkEnd& target : layer.targets) {
        add(i, target, false, &target);
      }
      for (const LinkEnd& source : layer.sources) {
        if (layer.targets.empty()) {
          add(i, source, true, nullptr);
        }
        for (const LinkEnd& target : layer.targets) {
          add(i, source, true, &target);
        }
      }
    }
    for (size_t i = 0; i < geometries_.size(); ++i) {
      find_classes(network_.node_layers[i], geometries_[i]);
    }
    return std::move(geometries_);
  }

 private:
  bool by_unit() const { return options_.granularity() == Granularity::kUnit; }

  void add(size_t index, const LinkEnd& end, bool outgoing, const LinkEnd* target) {
    if (end.node_layer < 0) {
      return;
    }
    const WeightLayer& layer = network_.weight_layers[index];
    if (static_cast<size_t>(end.node_layer) >= geometries_.size()) {
      throw Error("weight layer " + layer.name + " must end in one of " + std::to_string(geometries_.size()) +
                  " node layers, got number " + std::to_string(end.node_layer));
    }
    const NodeLayer& node = network_.node_layers[static_cast<size_t>(end.node_layer)];
    if (node.shape.empty() || node.shape.size() > 4) {
      throw Error("node layer " + node.name + " must have one channel axis and up to three position axes, got " +
                  std::to_string(node.shape.size()) + " axes");
    }
    if (layer.axes.size() > 3) {
      throw Error("weight layer " + layer.name + " must have up to three kernel axes, got " +
                  std::to_string(layer.axes.size()));
    }
    Contact contact{static_cast<int32_t>(index), outgoing, &end, {}, {}};
    if (by_unit()) {
      if (end.per_unit) {
        require_single_tap(layer, node, end);
      } else {
        fill(contact, layer, node, target);
      }
    }
    geometries_[static_cast<size_t>(end.node_layer)].contacts.push_back(std::move(contact));
  }

  static void require_single_tap(const WeightLayer& layer, const NodeLayer& node, const LinkEnd& end) {
    const bool taps =
        std::any_of(layer.axes.begin(), layer.axes.end(), [](const auto& axis) { return axis.kernel != 1; });
    if (taps || !end.resampling.empty()) {
      throw Error("weight layer " + layer.name + " meets the single units of " + node.name +
                  ": it must have no kernel and no resampling there");
    }
  }

  void fill(Contact& contact, const WeightLayer& layer, const NodeLayer& node, const LinkEnd* target) const {
    const auto node_axes = static_cast<size_t>(position_axes(node));
    for (size_t d = 0; d < std::max(layer.axes.size(), node_axes); ++d) {
      const Resampling* resampling = target == nullptr || target->per_unit ? nullptr : resampling_of(*target, d);
      const int64_t size = d < node_axes ? node.shape[d + 1] : 1;
      // An axis that the weight layer has no kernel for is met position by position.
      const int64_t length = resampling != nullptr ? resampling->produced : size;
      const ConvolutionAxis axis = d < layer.axes.size() ? layer.axes[d] : ConvolutionAxis{length, length, 1, 1, 0, 1};
      const int64_t met = contact.outgoing ? axis.input : resampling != nullptr ? resampling->seen : axis.output;
      const bool alike = axis.kernel == 1 && axis.stride == 1 && axis.padding == 0 && resampling == nullptr;
      if (d >= node_axes && alike) {
        continue;
      }
      if (met != size) {
        throw Error("weight layer " + layer.name + " must meet " + std::to_string(size) + " positions on axis " +
                    std::to_string(d + 1) + " of node layer " + node.name + ", got " + std::to_string(met));
      }
      if (contact.outgoing) {
        contact.taps[d] = unless_ones(network::out_coefficients(axis, layer.transposed, resampling));
      } else {
        contact.taps[d] = unless_ones(network::in_coefficients(axis, layer.transposed, resampling, options_.padding()));
        contact.bias[d] = unless_ones(network::constant_coefficients(axis.output, resampling));
      }
    }
  }

  void find_classes(const NodeLayer& node, Geometry& geometry) const {
    if (!by_unit()) {
      return;
    }
    const bool apart = std::any_of(geometry.contacts.begin(), geometry.contacts.end(),
                                   [](const Contact& contact) { return contact.end->per_unit; });
    for (int64_t d = 0; d < position_axes(node); ++d) {
      const auto axis = static_cast<size_t>(d);
      std::vector<std::vector<double>> tables;
      for (const Contact& contact : geometry.contacts) {
        tables.push_back(contact.taps[axis]);
        tables.push_back(contact.bias[axis]);
      }
      geometry.axes.push_back(network::classes_of(node.shape[axis + 1], tables, apart));
      for (Contact& contact : geometry.contacts) {
        compress(contact.taps[axis], node.shape[axis + 1], geometry.axes.back());
        compress(contact.bias[axis], node.shape[axis + 1], geometry.axes.back());
      }
    }
  }

  static void compress(std::vector<double>& table, int64_t size, const network::Classes& classes) {
    std::vector<double> columns;
    for (size_t row = 0; row < table.size(); row += static_cast<size_t>(size)) {
      for (const int64_t first : classes.first) {
        columns.push_back(table[row + static_cast<size_t>(first)]);
      }
    }
    table = std::move(columns);
  }

  const Network& network_;
  const MetricOptions& options_;
  std::vector<Geometry> geometries_;
};

}  // namespace

std::vector<Geometry> geometry_of(const Network& network, const MetricOptions& options) {
  return Builder(network, options).build();
}

}  // namespace dynascope::engine
