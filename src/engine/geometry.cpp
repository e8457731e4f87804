// SPDX-License-Identifier: BSD-3-Clause
#include "geometry.hpp"

#include <dynascope/error.hpp>

#include <algorithm>
#include <string>
#include <utility>

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

/// What weight layers and identity layers have in common.
struct Links {
  int32_t weight_layer;
  std::string name;
  const std::vector<ConvolutionAxis>* axes;
  bool transposed;
  const std::vector<LinkEnd>* sources;
  const std::vector<LinkEnd>* targets;
};

// A unit that is read by several cells has the links of all.
std::vector<double> fold(const std::vector<double>& table, const std::vector<int64_t>& cells, int64_t size) {
  const size_t rows = table.size() / cells.size();
  std::vector<double> result(rows * static_cast<size_t>(size), 0.0);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t cell = 0; cell < cells.size(); ++cell) {
      result[row * static_cast<size_t>(size) + static_cast<size_t>(cells[cell])] += table[row * cells.size() + cell];
    }
  }
  return result;
}

class Builder {
 public:
  Builder(const Network& network, const MetricOptions& options)
      : network_(network), options_(options), geometries_(network.node_layers.size()) {}

  std::vector<Geometry> build() {
    for (size_t i = 0; i < network_.weight_layers.size(); ++i) {
      const WeightLayer& layer = network_.weight_layers[i];
      add({static_cast<int32_t>(i), "weight layer " + layer.name, &layer.axes, layer.transposed, &layer.sources,
           &layer.targets});
    }
    static const std::vector<ConvolutionAxis> kNone;
    for (const IdentityLayer& layer : network_.identity_layers) {
      add({-1, "an identity layer", &kNone, false, &layer.sources, &layer.targets});
    }
    for (size_t i = 0; i < geometries_.size(); ++i) {
      find_classes(network_.node_layers[i], geometries_[i]);
    }
    return std::move(geometries_);
  }

 private:
  bool by_unit() const { return options_.granularity() == Granularity::kUnit; }

  void add(const Links& links) {
    for (const LinkEnd& target : *links.targets) {
      add(links, target, false, &target);
    }
    for (const LinkEnd& source : *links.sources) {
      if (links.targets->empty()) {
        add(links, source, true, nullptr);
      }
      for (const LinkEnd& target : *links.targets) {
        add(links, source, true, &target);
      }
    }
  }

  void add(const Links& layer, const LinkEnd& end, bool outgoing, const LinkEnd* target) {
    if (end.node_layer < 0) {
      return;
    }
    if (static_cast<size_t>(end.node_layer) >= geometries_.size()) {
      throw Error(layer.name + " must end in one of " + std::to_string(geometries_.size()) +
                  " node layers, got number " + std::to_string(end.node_layer));
    }
    const NodeLayer& node = network_.node_layers[static_cast<size_t>(end.node_layer)];
    if (node.shape.empty() || node.shape.size() > 4) {
      throw Error("node layer " + node.name + " must have one channel axis and up to three position axes, got " +
                  std::to_string(node.shape.size()) + " axes");
    }
    if (layer.axes->size() > 3) {
      throw Error(layer.name + " must have up to three kernel axes, got " + std::to_string(layer.axes->size()));
    }
    Contact contact{layer.weight_layer, outgoing, &end, {}, {}};
    if (by_unit()) {
      if (end.per_unit) {
        require_single_tap(layer, node, end);
      } else {
        fill(contact, layer, node, target);
      }
    }
    geometries_[static_cast<size_t>(end.node_layer)].contacts.push_back(std::move(contact));
  }

  static void require_single_tap(const Links& layer, const NodeLayer& node, const LinkEnd& end) {
    const bool taps =
        std::any_of(layer.axes->begin(), layer.axes->end(), [](const auto& axis) { return axis.kernel != 1; });
    if (taps || !end.resampling.empty()) {
      throw Error(layer.name + " meets the single units of " + node.name +
                  ": it must have no kernel and no resampling there");
    }
  }

  void fill(Contact& contact, const Links& layer, const NodeLayer& node, const LinkEnd* target) const {
    const auto node_axes = static_cast<size_t>(position_axes(node));
    for (size_t d = 0; d < std::max(layer.axes->size(), node_axes); ++d) {
      const Resampling* resampling = target == nullptr || target->per_unit ? nullptr : resampling_of(*target, d);
      const int64_t size = d < node_axes ? node.shape[d + 1] : 1;
      const std::vector<int64_t>* cells =
          contact.outgoing && d < contact.end->cells.size() && !contact.end->cells[d].empty() ? &contact.end->cells[d]
                                                                                              : nullptr;
      const int64_t read = cells != nullptr ? static_cast<int64_t>(cells->size()) : size;
      // An axis that the weight layer has no kernel for is met position by position.
      const int64_t length = resampling != nullptr ? resampling->produced : read;
      const ConvolutionAxis axis =
          d < layer.axes->size() ? (*layer.axes)[d] : ConvolutionAxis{length, length, 1, 1, 0, 1};
      const int64_t met = contact.outgoing ? axis.input : resampling != nullptr ? resampling->seen : axis.output;
      const bool alike = axis.kernel == 1 && axis.stride == 1 && axis.padding == 0 && resampling == nullptr;
      if (d >= node_axes && alike) {
        continue;
      }
      if (met != read) {
        throw Error(layer.name + " must meet " + std::to_string(read) + " positions on axis " + std::to_string(d + 1) +
                    " of node layer " + node.name + ", got " + std::to_string(met));
      }
      if (contact.outgoing) {
        std::vector<double> taps = network::out_coefficients(axis, layer.transposed, resampling);
        contact.taps[d] = unless_ones(cells != nullptr ? fold(taps, *cells, size) : std::move(taps));
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
