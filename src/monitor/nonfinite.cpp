// SPDX-License-Identifier: BSD-3-Clause
#include "nonfinite.hpp"

#include <cmath>
#include <cstring>
#include <limits>

namespace dynascope::monitor {
namespace {

template <typename T>
T value_at(const Row& row, const Span& span, int64_t index) {
  T value;
  std::memcpy(&value, row.values + span.offset + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

/// Position of the first count that is not 0, or -1.
int64_t first_counted(const Row& row, const Span& counts) {
  for (int64_t i = 0; i < counts.count; ++i) {
    if (value_at<int64_t>(row, counts, i) != 0) {
      return i;
    }
  }
  return -1;
}

Span span_or_none(const RowLayout& layout, const std::string& path) {
  const Span* span = layout.find(path);
  return span == nullptr ? Span{} : *span;
}

}  // namespace

NonFiniteFinder::NonFiniteFinder(const RunDescription& description, const RowLayout& layout)
    : nodes_(span_or_none(layout, "/nodes/nonfinite")), links_(span_or_none(layout, "/links/nonfinite")) {
  const size_t count = description.node_layers.size();
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = description.node_layers[i].name;
    node_layers_.push_back(name);
    strengths_.push_back(layout.at(node_layer_path(i, count, name) + "/strength"));
  }
  for (const WeightLayerInfo& layer : description.weight_layers) {
    weight_layers_.push_back(layer.name);
  }
}

std::optional<Event> NonFiniteFinder::operator()(const Row& row) {
  if (found_) {
    return std::nullopt;
  }
  double unit = std::numeric_limits<double>::quiet_NaN();
  std::string text = node_text(row, unit);
  const std::string links = link_text(row);
  if (text.empty() && links.empty()) {
    return std::nullopt;
  }
  found_ = true;
  text += text.empty() || links.empty() ? links : "; " + links;
  return Event{row.step, row.time, EventCode::kNonFinite, unit, "first non-finite value: " + text};
}

std::string NonFiniteFinder::node_text(const Row& row, double& unit) const {
  const int64_t layer = first_counted(row, nodes_);
  if (layer < 0) {
    return "";
  }
  const auto index = static_cast<size_t>(layer);
  const Span& strength = strengths_[index];
  for (int64_t i = 0; i < strength.count; ++i) {
    const auto value = value_at<float>(row, strength, i);
    if (!std::isfinite(value)) {
      unit = static_cast<double>(i);
      return "node layer " + node_layers_[index] + ", stored unit " + std::to_string(i) + " of " +
             std::to_string(strength.count) + " is " + std::to_string(value);
    }
  }
  return "node layer " + node_layers_[index];
}

std::string NonFiniteFinder::link_text(const Row& row) const {
  const int64_t layer = first_counted(row, links_);
  if (layer < 0) {
    return "";
  }
  return "weight layer " + weight_layers_[static_cast<size_t>(layer)] +
         ", entries not finite: " + std::to_string(value_at<int64_t>(row, links_, layer));
}

}  // namespace dynascope::monitor
