// SPDX-License-Identifier: BSD-3-Clause
#include "schema.hpp"

#include <dynascope/error.hpp>
#include <dynascope/row_layout.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace dynascope {
namespace {

std::string layer_path(std::string_view group, size_t position, size_t count, std::string_view name) {
  std::string digits = std::to_string(position);
  const size_t width = std::max<size_t>(3, std::to_string(count == 0 ? 0 : count - 1).size());
  digits.insert(0, width - std::min(width, digits.size()), '0');
  return std::string(group) + "/" + digits + "_" + escape_name(name);
}

}  // namespace

RowLayout::RowLayout(const RunDescription& description) {
  const auto nodes = static_cast<int64_t>(description.node_layers.size());
  const auto links = static_cast<int64_t>(description.weight_layers.size());

  for (const auto& column : schema::kNodeColumns) {
    add("/nodes/" + std::string(column.name), column.type, {nodes});
  }
  for (size_t i = 0; i < description.node_layers.size(); ++i) {
    const NodeLayerInfo& layer = description.node_layers[i];
    const std::string path = node_layer_path(i, description.node_layers.size(), layer.name);
    const size_t columns = description.components ? std::size(schema::kUnitColumns) : 1;
    for (size_t c = 0; c < columns; ++c) {
      add(path + "/" + schema::kUnitColumns[c].name, schema::kUnitColumns[c].type, {layer.stored_units()});
    }
  }

  for (const auto& column : schema::kLinkColumns) {
    add("/links/" + std::string(column.name), column.type, {links});
  }
  if (description.histogram != Histogram::kOff) {
    add("/links/" + std::string(schema::kHistogramColumn.name), schema::kHistogramColumn.type,
        {links, description.histogram_bins + 2});
  }
  for (size_t i = 0; i < description.weight_layers.size(); ++i) {
    const WeightLayerInfo& layer = description.weight_layers[i];
    const std::string path = weight_layer_path(i, description.weight_layers.size(), layer.name);
    if (layer.rows > 0) {
      add(path + "/" + schema::kRowSumColumn.name, schema::kRowSumColumn.type, {layer.rows});
    }
    if (layer.columns > 0) {
      add(path + "/" + schema::kColumnSumColumn.name, schema::kColumnSumColumn.type, {layer.columns});
    }
  }

  for (const ParameterInfo& parameter : description.parameters) {
    add(schema::parameter_path(parameter.name), parameter.float64 ? RowType::kFloat64 : RowType::kFloat32,
        parameter.shape);
  }
}

void RowLayout::add(std::string path, RowType type, std::vector<int64_t> shape) {
  Span span;
  span.count = schema::product(shape, path);
  span.type = type;
  span.shape = std::move(shape);
  span.offset = bytes_;
  bytes_ += (span.count * size_of(type) + 7) / 8 * 8;
  if (!positions_.emplace(path, spans_.size()).second) {
    throw Error("two parts of a row would be stored as " + path + "; give each its own name");
  }
  span.path = std::move(path);
  spans_.push_back(std::move(span));
}

const Span* RowLayout::find(std::string_view path) const noexcept {
  const auto found = positions_.find(path);
  return found == positions_.end() ? nullptr : &spans_[found->second];
}

const Span& RowLayout::at(std::string_view path) const {
  if (const Span* span = find(path)) {
    return *span;
  }
  throw Error("a row of this run has no " + std::string(path) + " (it has " + std::to_string(spans_.size()) +
              " datasets" + (spans_.empty() ? "" : ", from " + spans_.front().path + " to " + spans_.back().path) +
              ")");
}

std::string node_layer_path(size_t position, size_t count, std::string_view name) {
  return layer_path("/nodes", position, count, name);
}

std::string weight_layer_path(size_t position, size_t count, std::string_view name) {
  return layer_path("/links", position, count, name);
}

std::string escape_name(std::string_view name) {
  std::string escaped;
  escaped.reserve(name.size());
  for (const char c : name) {
    if (c == '/') {
      escaped += "%2F";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace dynascope
