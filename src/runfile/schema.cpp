// SPDX-License-Identifier: BSD-3-Clause
#include "schema.hpp"

#include <dynascope/error.hpp>

#include <algorithm>
#include <set>
#include <string>

namespace dynascope::schema {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& what) { throw Error(where + ": " + what); }

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

// HDF5 takes "." for the group itself, and nothing may hold a NUL.
void check_name(std::string_view name, const char* kind, const std::string& where) {
  if (name.empty() || name == "." || name.find('\0') != std::string_view::npos) {
    refuse(where, std::string(kind) + " needs a name that can stand in a path, got " + quoted(name));
  }
}

void check_dataset_names(const std::vector<std::string>& names, const char* kind, const std::string& where) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    check_name(name, kind, where);
    if (!seen.insert(escape_name(name)).second) {
      refuse(where, std::string(kind) + " " + quoted(name) + " is there twice; give each its own name");
    }
  }
}

void check_node_layer(const NodeLayerInfo& layer, const std::string& where) {
  check_name(layer.name, "a node layer", where);
  const std::string here = where + ": node layer " + quoted(layer.name);
  const size_t rank = layer.shape.size();
  if (rank == 0 || layer.stored_shape.size() != rank || layer.classes.size() != rank) {
    refuse(here, "shape, stored_shape and classes must have as many axes, at least one, got " + std::to_string(rank) +
                     ", " + std::to_string(layer.stored_shape.size()) + " and " + std::to_string(layer.classes.size()));
  }
  product(layer.shape, here);
  const int64_t stored = product(layer.stored_shape, here);
  if (static_cast<int64_t>(layer.multiplicity.size()) != stored) {
    refuse(here, "multiplicity must have one value per stored unit, " + std::to_string(stored) + ", got " +
                     std::to_string(layer.multiplicity.size()));
  }
  for (size_t axis = 0; axis < rank; ++axis) {
    const auto& classes = layer.classes[axis];
    const int64_t size = layer.shape[axis];
    const int64_t stored_size = layer.stored_shape[axis];
    const std::string on_axis = " on axis " + std::to_string(axis);
    if (classes.empty() ? size != stored_size : static_cast<int64_t>(classes.size()) != size) {
      refuse(here, "shape is " + std::to_string(size) + on_axis + ", which does not fit " +
                       std::to_string(stored_size) + " stored and " + std::to_string(classes.size()) +
                       " classed coordinates");
    }
    if (std::any_of(classes.begin(), classes.end(), [&](int32_t c) { return c < 0 || c >= stored_size; })) {
      refuse(here, "a class" + on_axis + " is outside 0 to " + std::to_string(stored_size - 1));
    }
  }
}

void check_weight_layer(const WeightLayerInfo& layer, const std::string& where) {
  check_name(layer.name, "a weight layer", where);
  if (layer.count < 0 || layer.rows < 0 || layer.columns < 0) {
    refuse(where, "weight layer " + quoted(layer.name) + " has a negative size: count " + std::to_string(layer.count) +
                      ", rows " + std::to_string(layer.rows) + ", columns " + std::to_string(layer.columns));
  }
}

void check_connections(const RunDescription& description, const std::string& where) {
  const auto nodes = static_cast<int64_t>(description.node_layers.size());
  const auto links = static_cast<int64_t>(description.weight_layers.size());
  for (const ConnectionInfo& c : description.connections) {
    if (c.source < 0 || c.source >= nodes || c.target < 0 || c.target >= nodes || c.link < -1 || c.link >= links) {
      refuse(where, "connection " + std::to_string(c.source) + " -> " + std::to_string(c.target) + " through " +
                        std::to_string(c.link) + " points outside the " + std::to_string(nodes) + " node layers or " +
                        std::to_string(links) + " weight layers");
    }
  }
}

void check_histogram(const RunDescription& description, const std::string& where) {
  if (description.histogram == Histogram::kOff) {
    return;
  }
  if (description.histogram_bins < 1) {
    refuse(where, "a histogram needs at least one bin, got " + std::to_string(description.histogram_bins));
  }
  const int64_t wanted = product(
      {static_cast<int64_t>(description.weight_layers.size()), description.histogram_bins + 1}, where + ": histogram");
  if (static_cast<int64_t>(description.histogram_edges.size()) != wanted) {
    refuse(where, "histogram_edges must hold weight layers x (bins + 1) = " + std::to_string(wanted) + " values, got " +
                      std::to_string(description.histogram_edges.size()));
  }
}

template <size_t N>
const Column* find_in(const Column (&columns)[N], std::string_view name) {
  const auto* found = std::find_if(columns, columns + N, [&](const Column& column) { return column.name == name; });
  return found == columns + N ? nullptr : found;
}

const Column* find_column(std::string_view path) {
  const std::string_view group = group_of(path);
  const std::string_view name = path.substr(group.size() + 1);
  if (group == "/nodes") {
    return find_in(kNodeColumns, name);
  }
  if (group == "/links") {
    return name == kHistogramColumn.name ? &kHistogramColumn : find_in(kLinkColumns, name);
  }
  if (group_of(group) == "/nodes") {
    return find_in(kUnitColumns, name);
  }
  if (group_of(group) == "/links") {
    return name == kRowSumColumn.name ? &kRowSumColumn : name == kColumnSumColumn.name ? &kColumnSumColumn : nullptr;
  }
  return nullptr;
}

}  // namespace

const Column* column(std::string_view path) {
  const Column* found = find_column(path);
  if (found == nullptr && group_of(path) != "/parameters") {
    throw Error("a file has no place for " + std::string(path) + " (docs/run-file.md lists its datasets)");
  }
  return found;
}

std::string scale_of(std::string_view path, const Column& column, size_t axis) {
  if (axis >= std::size(column.scales) || column.scales[axis] == nullptr) {
    throw Error(std::string(path) + " has no axis " + std::to_string(axis) + " in the run file");
  }
  return std::string(group_of(path)) + "/" + column.scales[axis];
}

std::string parameter_path(std::string_view name) { return "/parameters/" + escape_name(name); }

int64_t product(const std::vector<int64_t>& shape, std::string_view what) {
  constexpr int64_t kLimit = int64_t{1} << 48;
  int64_t result = 1;
  for (const int64_t size : shape) {
    if (size < 0 || size > kLimit || (result != 0 && size > kLimit / result)) {
      refuse(std::string(what), "a shape with an axis of " + std::to_string(size) + " is out of bounds");
    }
    result *= size;
  }
  return result;
}

void check(const FileKind& kind, const RunDescription& description, const std::string& where) {
  for (const NodeLayerInfo& layer : description.node_layers) {
    check_node_layer(layer, where);
  }
  for (const WeightLayerInfo& layer : description.weight_layers) {
    check_weight_layer(layer, where);
  }
  check_connections(description, where);
  check_histogram(description, where);
  check_dataset_names(description.scalars, "a scalar", where);
  for (const std::string& key : description.scalars) {
    if (!kind.is_scalar(kind.scalar_path(key))) {
      refuse(where, "a scalar cannot be called " + quoted(key) + ": every " + kind.name + " has that already");
    }
  }
  if (!kind.one_training && (!description.parameters.empty() || description.histogram == Histogram::kEpochEnds)) {
    refuse(where, std::string("a ") + kind.name + " holds no parameters, and histograms of every member or of none");
  }
  std::vector<std::string> parameters;
  for (const ParameterInfo& parameter : description.parameters) {
    parameters.push_back(parameter.name);
    product(parameter.shape, where + ": parameter " + quoted(parameter.name));
  }
  check_dataset_names(parameters, "a parameter", where);
}

}  // namespace dynascope::schema
