// SPDX-License-Identifier: BSD-3-Clause
#include "run_comparison.hpp"

#include "format.hpp"
#include "run_view.hpp"

#include <dynascope/row_layout.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

namespace dynascope::cli {
namespace {

constexpr int64_t kValuesPerBlock = int64_t{1} << 20;

std::string text(const std::string& value) { return "'" + value + "'"; }
std::string text(std::string_view value) { return "'" + std::string(value) + "'"; }
std::string text(bool value) { return value ? "on" : "off"; }
std::string text(int64_t value) { return std::to_string(value); }

template <class T>
std::string text(const std::vector<T>& values) {
  std::string list;
  for (const T& value : values) {
    list += (list.empty() ? "" : ", ") + text(value);
  }
  return "[" + list + "]";
}

class Differences {
 public:
  template <class T>
  void compare(const std::string& what, const T& a, const T& b) {
    if (!(a == b)) {
      lines.push_back(what + " is " + text(a) + " in A and " + text(b) + " in B");
    }
  }
  void require(bool same, const std::string& line) {
    if (!same) {
      lines.push_back(line);
    }
  }
  void only(const std::string& kind, const std::vector<std::string>& names, const char* where) {
    constexpr size_t kNamed = 8;
    require(names.empty(), kind + " only in " + where + ": " + joined(names, kNamed));
  }

  std::vector<std::string> lines;
};

template <class T>
std::map<std::string, size_t> positions(const std::vector<T>& layers) {
  std::map<std::string, size_t> found;
  for (size_t i = 0; i < layers.size(); ++i) {
    found.emplace(layers[i].name, i);
  }
  return found;
}

// Positions in A and B of the layers that both have; what only one has is a line.
template <class T>
std::vector<std::pair<size_t, size_t>> common(const std::string& kind, const std::vector<T>& a, const std::vector<T>& b,
                                              Differences& d) {
  const auto in_a = positions(a);
  const auto in_b = positions(b);
  std::vector<std::pair<size_t, size_t>> both;
  std::vector<std::string> only_a;
  std::vector<std::string> only_b;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto found = in_b.find(a[i].name);
    found == in_b.end() ? only_a.push_back(a[i].name) : both.push_back({i, found->second});
  }
  for (const T& layer : b) {
    if (in_a.count(layer.name) == 0) {
      only_b.push_back(layer.name);
    }
  }
  d.only(kind, only_a, "A");
  d.only(kind, only_b, "B");
  return both;
}

void compare_options(const RunDescription& a, const RunDescription& b, Differences& d) {
  d.compare("bias", to_string(a.metrics.bias()), to_string(b.metrics.bias()));
  d.compare("boundary", to_string(a.metrics.boundary()), to_string(b.metrics.boundary()));
  d.compare("padding", to_string(a.metrics.padding()), to_string(b.metrics.padding()));
  d.compare("granularity", to_string(a.metrics.granularity()), to_string(b.metrics.granularity()));
  d.compare("components", a.components, b.components);
  d.compare("histogram", to_string(a.histogram), to_string(b.histogram));
  d.compare("histogram_bins", a.histogram_bins, b.histogram_bins);
  d.compare("scalars", a.scalars, b.scalars);
}

// Arrows by the names of their ends, which tell more than positions, and hold where one run has a layer more.
std::vector<std::string> arrows(const RunDescription& run) {
  std::vector<std::string> all;
  for (const ConnectionInfo& c : run.connections) {
    const std::string through = c.link < 0 ? "" : " through " + run.weight_layers.at(static_cast<size_t>(c.link)).name;
    all.push_back(run.node_layers.at(static_cast<size_t>(c.source)).name + " -> " +
                  run.node_layers.at(static_cast<size_t>(c.target)).name + through);
  }
  std::sort(all.begin(), all.end());
  return all;
}

void compare_arrows(const RunDescription& a, const RunDescription& b, Differences& d) {
  const auto in_a = arrows(a);
  const auto in_b = arrows(b);
  const auto only = [&d](const auto& these, const auto& those, const char* where) {
    std::vector<std::string> rest;
    std::set_difference(these.begin(), these.end(), those.begin(), those.end(), std::back_inserter(rest));
    d.only("connections", rest, where);
  };
  only(in_a, in_b, "A");
  only(in_b, in_a, "B");
}

// One dataset in either run, and the parts of its rows that are one layer in both.
struct Pair {
  struct Piece {
    std::string layer;
    int64_t in_a;
    int64_t in_b;
    int64_t count;
  };

  std::string metric;
  Span in_a;
  Span in_b;
  std::vector<Piece> pieces;
};

using Both = std::vector<std::pair<size_t, size_t>>;

class Pairs {
 public:
  Pairs(const RunDescription& a, const RunDescription& b) : a_(a), b_(b), layout_a_(a), layout_b_(b) {}

  // Datasets with a value (or a histogram) per layer.
  void per_layer(const char* group, std::initializer_list<const char*> metrics, const Both& both, size_t layers_a,
                 size_t layers_b) {
    for (const char* metric : metrics) {
      const std::string path = std::string("/") + group + "/" + metric;
      const Span* in_a = layout_a_.find(path);
      const Span* in_b = layout_b_.find(path);
      if (in_a == nullptr || in_b == nullptr || both.empty()) {
        continue;
      }
      const int64_t each = in_a->count / static_cast<int64_t>(layers_a);
      if (each != in_b->count / static_cast<int64_t>(layers_b)) {
        continue;  // histograms of other bins
      }
      Pair pair{path.substr(1), *in_a, *in_b, {}};
      for (const auto& [at_a, at_b] : both) {
        const std::string& name = group[0] == 'n' ? a_.node_layers[at_a].name : a_.weight_layers[at_a].name;
        pair.pieces.push_back({name, static_cast<int64_t>(at_a) * each, static_cast<int64_t>(at_b) * each, each});
      }
      all.push_back(std::move(pair));
    }
  }

  // A dataset of its own for a layer or parameter; compared where both have it in one size.
  void whole(const std::string& metric, const std::string& layer, const std::string& path_a,
             const std::string& path_b) {
    const Span* in_a = layout_a_.find(path_a);
    const Span* in_b = layout_b_.find(path_b);
    if (in_a != nullptr && in_b != nullptr && in_a->shape == in_b->shape) {
      all.push_back({metric, *in_a, *in_b, {{layer, 0, 0, in_a->count}}});
    }
  }

  std::vector<Pair> all;

 private:
  const RunDescription& a_;
  const RunDescription& b_;
  RowLayout layout_a_;
  RowLayout layout_b_;
};

std::vector<Pair> compare_networks(const RunDescription& a, const RunDescription& b, Differences& d) {
  Pairs pairs(a, b);
  const Both nodes = common("node layers", a.node_layers, b.node_layers, d);
  pairs.per_layer("nodes", {"fluctuation", "strength_mean", "strength_min", "strength_max", "nonfinite"}, nodes,
                  a.node_layers.size(), b.node_layers.size());
  for (const auto& [at_a, at_b] : nodes) {
    const NodeLayerInfo& x = a.node_layers[at_a];
    const NodeLayerInfo& y = b.node_layers[at_b];
    const std::string of = " of node layer '" + x.name + "'";
    d.compare("the role" + of, to_string(x.role), to_string(y.role));
    d.compare("the shape" + of, x.shape, y.shape);
    d.compare("the stored shape" + of, x.stored_shape, y.stored_shape);
    d.require(x.shape != y.shape || x.stored_shape != y.stored_shape ||
                  (x.classes == y.classes && x.multiplicity == y.multiplicity),
              "the classes" + of + " differ");
    for (const char* metric : {"strength", "in_strength", "out_strength"}) {
      pairs.whole(std::string("nodes/") + metric, x.name,
                  node_layer_path(at_a, a.node_layers.size(), x.name) + "/" + metric,
                  node_layer_path(at_b, b.node_layers.size(), y.name) + "/" + metric);
    }
  }
  const Both links = common("weight layers", a.weight_layers, b.weight_layers, d);
  pairs.per_layer("links", {"mean", "std", "min", "max", "abs_mean", "norm", "nonfinite"}, links,
                  a.weight_layers.size(), b.weight_layers.size());
  for (const auto& [at_a, at_b] : links) {
    const WeightLayerInfo& x = a.weight_layers[at_a];
    const WeightLayerInfo& y = b.weight_layers[at_b];
    d.compare("the number of entries of weight layer '" + x.name + "'", x.count, y.count);
    for (const char* metric : {"row_sum", "column_sum"}) {
      pairs.whole(std::string("links/") + metric, x.name,
                  weight_layer_path(at_a, a.weight_layers.size(), x.name) + "/" + metric,
                  weight_layer_path(at_b, b.weight_layers.size(), y.name) + "/" + metric);
    }
  }
  compare_arrows(a, b, d);
  if (a.histogram != Histogram::kOff && b.histogram != Histogram::kOff) {
    const bool same_edges = a.histogram_edges == b.histogram_edges;
    d.require(same_edges, "the edges of the histograms differ, so that their counts cannot be compared");
    if (same_edges) {
      pairs.per_layer("links", {"histogram"}, links, a.weight_layers.size(), b.weight_layers.size());
    }
  }
  for (const auto& [at_a, at_b] : common("recorded parameters", a.parameters, b.parameters, d)) {
    const ParameterInfo& x = a.parameters[at_a];
    d.compare("the shape of parameter '" + x.name + "'", x.shape, b.parameters[at_b].shape);
    const std::string path = "/parameters/" + escape_name(x.name);
    pairs.whole("parameters", x.name, path, path);
  }
  return std::move(pairs.all);
}

void match_rows(RunComparison& result) {
  const RunRows& a = result.index_a;
  const RunRows& b = result.index_b;
  size_t i = 0;
  size_t j = 0;
  while (i < a.step.size() || j < b.step.size()) {
    const auto key = [](const RunRows& rows, size_t at) { return std::pair(rows.step[at], rows.epoch[at]); };
    if (j == b.step.size() || (i < a.step.size() && key(a, i) < key(b, j))) {
      result.only_a.push_back(static_cast<int64_t>(i++));
    } else if (i == a.step.size() || key(b, j) < key(a, i)) {
      result.only_b.push_back(static_cast<int64_t>(j++));
    } else {
      result.rows.emplace_back(static_cast<int64_t>(i++), static_cast<int64_t>(j++));
    }
  }
}

class ValueComparison {
 public:
  ValueComparison(const Tolerance& tolerance, const RunRows& index) : tolerance_(tolerance), index_(index) {}

  MetricDifference& of(const std::string& metric) {
    for (MetricDifference& known : all) {
      if (known.metric == metric) {
        return known;
      }
    }
    all.push_back({});
    all.back().metric = metric;
    return all.back();
  }

  void compare(MetricDifference& into, const std::string& layer, int64_t row_a, const double* a, const double* b,
               int64_t count) {
    into.compared += count;
    for (int64_t i = 0; i < count; ++i) {
      if (same(a[i], b[i])) {
        continue;
      }
      const int64_t step = index_.step[static_cast<size_t>(row_a)];
      if (into.different++ == 0 || step < into.first_step) {
        into.first_step = step;
        into.first_epoch = index_.epoch[static_cast<size_t>(row_a)];
      }
      const double distance = std::abs(a[i] - b[i]);
      if (into.different == 1 || distance > into.largest || (std::isnan(distance) && !std::isnan(into.largest))) {
        into.largest = distance;
        into.largest_a = a[i];
        into.largest_b = b[i];
      }
      const bool same_as_before = !into.layers.empty() && into.layers.back() == layer;
      if (!same_as_before && std::find(into.layers.begin(), into.layers.end(), layer) == into.layers.end()) {
        into.layers.push_back(layer);
      }
    }
  }

  std::vector<MetricDifference> all;

 private:
  bool same(double a, double b) const {
    return a == b || (std::isnan(a) && std::isnan(b)) ||
           std::abs(a - b) <= tolerance_.absolute + tolerance_.relative * std::abs(b);
  }

  const Tolerance& tolerance_;
  const RunRows& index_;
};

std::vector<double> read(const RunFile& run, const Span& span, int64_t first, int64_t count) {
  auto values = run.read(span.path, first, count);
  require_size(span.path, values, count, span.count);
  return values;
}

void compare_dataset(const RunFile& a, const RunFile& b, const Pair& pair, const RunComparison& result,
                     ValueComparison& values, const std::function<void()>& got_on) {
  const auto at_once = static_cast<size_t>(
      std::max<int64_t>(1, kValuesPerBlock / std::max({pair.in_a.count, pair.in_b.count, int64_t{1}})));
  MetricDifference& into = values.of(pair.metric);
  const auto& rows = result.rows;
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin + 1;
    while (end < rows.size() && end - begin < at_once && rows[end].first == rows[end - 1].first + 1 &&
           rows[end].second == rows[end - 1].second + 1) {
      ++end;
    }
    const auto count = static_cast<int64_t>(end - begin);
    const auto block_a = read(a, pair.in_a, rows[begin].first, count);
    const auto block_b = read(b, pair.in_b, rows[begin].second, count);
    for (int64_t row = 0; row < count; ++row) {
      for (const Pair::Piece& piece : pair.pieces) {
        values.compare(into, piece.layer, rows[begin].first + row, block_a.data() + row * pair.in_a.count + piece.in_a,
                       block_b.data() + row * pair.in_b.count + piece.in_b, piece.count);
      }
    }
    got_on();
    begin = end;
  }
}

void compare_keys(const RunFile& a, const RunFile& b, const RunComparison& result, ValueComparison& values) {
  const auto each = [&](const std::string& metric, const std::string& layer, const auto& in_a, const auto& in_b) {
    MetricDifference& into = values.of(metric);
    for (const auto& [row_a, row_b] : result.rows) {
      const auto x = static_cast<double>(in_a[static_cast<size_t>(row_a)]);
      const auto y = static_cast<double>(in_b[static_cast<size_t>(row_b)]);
      values.compare(into, layer, row_a, &x, &y, 1);
    }
  };
  each("epoch_end", "rows", result.index_a.epoch_end, result.index_b.epoch_end);
  const auto& keys = b.description().scalars;
  for (const std::string& key : a.description().scalars) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) {
      each("scalars", key, a.scalar(key), b.scalar(key));
    }
  }
}

}  // namespace

RunComparison compare_runs(const RunFile& a, const RunFile& b, const Tolerance& tolerance,
                           const std::function<void()>& got_on) {
  RunComparison result;
  Differences differences;
  differences.compare("definitions_version", a.provenance().definitions_version, b.provenance().definitions_version);
  compare_options(a.description(), b.description(), differences);
  const auto pairs = compare_networks(a.description(), b.description(), differences);
  result.definitions = std::move(differences.lines);

  result.index_a = a.row_index();
  result.index_b = b.row_index();
  match_rows(result);
  ValueComparison values(tolerance, result.index_a);
  compare_keys(a, b, result, values);
  for (const Pair& pair : pairs) {
    compare_dataset(a, b, pair, result, values, got_on);
  }
  for (MetricDifference& metric : values.all) {
    if (metric.different > 0) {
      result.metrics.push_back(std::move(metric));
    }
  }
  return result;
}

}  // namespace dynascope::cli
