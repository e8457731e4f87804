// SPDX-License-Identifier: BSD-3-Clause
#include "difference.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

namespace dynascope {
namespace {

std::string text(int64_t value) { return std::to_string(value); }
std::string text(bool value) { return value ? "yes" : "no"; }
std::string text(std::string_view value) { return "'" + std::string(value) + "'"; }

template <class T>
std::string text(const std::vector<T>& values) {
  std::string list;
  for (size_t i = 0; i < values.size() && i < 8; ++i) {
    list += (list.empty() ? "" : ", ") + text(values[i]);
  }
  return "[" + list + (values.size() > 8 ? ", ...]" : "]");
}

// Remembers the first pair that differs.
class Comparison {
 public:
  template <class T>
  void compare(const std::string& what, const T& in_file, const T& now) {
    if (found_.empty() && !(in_file == now)) {
      found_ = what + " is " + text(in_file) + " in the file and " + text(now) + " now";
    }
  }
  void require(bool same, const std::string& what) {
    if (found_.empty() && !same) {
      found_ = what;
    }
  }
  bool differs() const { return !found_.empty(); }
  const std::string& found() const { return found_; }

 private:
  std::string found_;
};

void compare_options(Comparison& c, const RunDescription& a, const RunDescription& b) {
  c.compare("option bias", to_string(a.metrics.bias()), to_string(b.metrics.bias()));
  c.compare("option boundary", to_string(a.metrics.boundary()), to_string(b.metrics.boundary()));
  c.compare("option padding", to_string(a.metrics.padding()), to_string(b.metrics.padding()));
  c.compare("option granularity", to_string(a.metrics.granularity()), to_string(b.metrics.granularity()));
  // Without node layers the file cannot tell.
  c.compare("option components", a.components || a.node_layers.empty(), b.components || b.node_layers.empty());
  c.compare("option histogram", to_string(a.histogram), to_string(b.histogram));
  c.compare("option scalars", a.scalars, b.scalars);
  if (a.histogram != Histogram::kOff) {
    c.compare("option histogram_bins", a.histogram_bins, b.histogram_bins);
  }
}

void compare_nodes(Comparison& c, const RunDescription& a, const RunDescription& b) {
  c.compare("the number of node layers", static_cast<int64_t>(a.node_layers.size()),
            static_cast<int64_t>(b.node_layers.size()));
  for (size_t i = 0; !c.differs() && i < a.node_layers.size(); ++i) {
    const NodeLayerInfo& x = a.node_layers[i];
    const NodeLayerInfo& y = b.node_layers[i];
    const std::string of = " of node layer '" + x.name + "'";
    c.compare("the name of node layer " + std::to_string(i), std::string_view(x.name), std::string_view(y.name));
    c.compare("the role" + of, to_string(x.role), to_string(y.role));
    c.compare("the shape" + of, x.shape, y.shape);
    c.compare("the stored shape" + of, x.stored_shape, y.stored_shape);
    c.require(x.classes == y.classes && x.multiplicity == y.multiplicity, "the classes" + of + " are others now");
  }
}

void compare_links(Comparison& c, const RunDescription& a, const RunDescription& b) {
  c.compare("the number of weight layers", static_cast<int64_t>(a.weight_layers.size()),
            static_cast<int64_t>(b.weight_layers.size()));
  for (size_t i = 0; !c.differs() && i < a.weight_layers.size(); ++i) {
    const WeightLayerInfo& x = a.weight_layers[i];
    const WeightLayerInfo& y = b.weight_layers[i];
    const std::string of = " of weight layer '" + x.name + "'";
    c.compare("the name of weight layer " + std::to_string(i), std::string_view(x.name), std::string_view(y.name));
    c.compare("the number of entries" + of, x.count, y.count);
    c.compare("the number of rows" + of, x.rows, y.rows);
    c.compare("the number of columns" + of, x.columns, y.columns);
  }
  c.compare("the number of connections", static_cast<int64_t>(a.connections.size()),
            static_cast<int64_t>(b.connections.size()));
  for (size_t i = 0; !c.differs() && i < a.connections.size(); ++i) {
    const ConnectionInfo& x = a.connections[i];
    const ConnectionInfo& y = b.connections[i];
    c.compare("connection " + std::to_string(i), std::vector<int64_t>{x.source, x.target, x.link},
              std::vector<int64_t>{y.source, y.target, y.link});
  }
}

void compare_parameters(Comparison& c, const RunDescription& a, const RunDescription& b) {
  c.compare("the number of recorded parameters", static_cast<int64_t>(a.parameters.size()),
            static_cast<int64_t>(b.parameters.size()));
  for (size_t i = 0; !c.differs() && i < a.parameters.size(); ++i) {
    const ParameterInfo& x = a.parameters[i];
    const ParameterInfo& y = b.parameters[i];
    c.compare("the name of recorded parameter " + std::to_string(i), std::string_view(x.name),
              std::string_view(y.name));
    c.compare("the shape of parameter '" + x.name + "'", x.shape, y.shape);
    c.compare("whether parameter '" + x.name + "' is float64", x.float64, y.float64);
  }
}

}  // namespace

std::string first_difference(const RunDescription& in_file, const RunDescription& now) {
  Comparison c;
  compare_nodes(c, in_file, now);
  compare_links(c, in_file, now);
  compare_options(c, in_file, now);
  compare_parameters(c, in_file, now);
  if (!c.differs()) {
    const auto& a = in_file.histogram_edges;
    const auto& b = now.histogram_edges;
    c.require(a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0),
              "the edges of the histograms are others now");
  }
  return c.found();
}

}  // namespace dynascope
