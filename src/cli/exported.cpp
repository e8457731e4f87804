// SPDX-License-Identifier: BSD-3-Clause
#include "exported.hpp"

#include "format.hpp"
#include "run_view.hpp"

#include <dynascope/error.hpp>

#include <algorithm>
#include <functional>
#include <numeric>
#include <string_view>

namespace dynascope::cli {
namespace {

constexpr std::string_view kUnitMetrics[] = {"strength", "in_strength", "out_strength"};
constexpr std::string_view kSumMetrics[] = {"row_sum", "column_sum"};

template <size_t N>
bool is_one_of(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

const Span& stored(const RowLayout& layout, const std::string& path, const std::string& dataset,
                   const std::string& hint) {
  const Span* span = layout.find(dataset);
  if (span == nullptr) {
    throw Error(path + " has no " + dataset + (hint.empty() ? "" : "; " + hint));
  }
  return *span;
}

// A value per layer, or a histogram per layer: the layers are the first axis of the dataset's rows.
Exported per_layer(const Span& span, const std::vector<std::string>& names, const std::vector<size_t>& picked,
                   bool one) {
  Exported what;
  what.dataset = span.path;
  what.type = span.type;
  const int64_t each = names.empty() ? 0 : span.count / static_cast<int64_t>(names.size());
  for (const size_t layer : picked) {
    what.layers.push_back(names[layer]);
    for (int64_t i = 0; i < each; ++i) {
      what.picks.push_back(static_cast<int64_t>(layer) * each + i);
      what.names.push_back(names[layer]);
      if (each > 1) {
        what.names.back() += i == 0 ? ":under" : i == each - 1 ? ":over" : ":" + std::to_string(i - 1);
      }
    }
  }
  what.axes = span.shape;
  what.axes.front() = static_cast<int64_t>(picked.size());
  if (one) {
    what.axes.erase(what.axes.begin());
  }
  return what;
}

size_t only_layer(const std::string& path, const std::vector<std::string>& names,
                  const std::vector<std::string>& wanted, const std::string& metric) {
  const auto picked = pick_layers(path, names, wanted, metric);
  if (picked.size() != 1) {
    throw Error(path + ": " + metric +
                " is of one layer, say which with --layer; there are: " + printable(joined(names)));
  }
  return picked.front();
}

Exported whole_row(const Span& span, std::vector<std::string> layers) {
  Exported what;
  what.dataset = span.path;
  what.layers = std::move(layers);
  what.type = span.type;
  what.axes = span.shape;
  return what;
}

Exported of_units(const RunFile& run, const RowLayout& layout, const std::string& path, const std::string& metric,
                  const std::vector<std::string>& wanted, bool expand) {
  const auto& nodes = run.description().node_layers;
  std::vector<std::string> names;
  names.reserve(nodes.size());
  for (const auto& layer : nodes) {
    names.push_back(layer.name);
  }
  const size_t layer = only_layer(path, names, wanted, metric);
  const std::string dataset = node_layer_path(layer, nodes.size(), names[layer]) + "/" + metric;
  Exported what =
      whole_row(stored(layout, path, dataset, "it was recorded without the option components"), {names[layer]});
  if (expand) {
    what.axes = nodes[layer].shape;
    what.unit_maps_of = layer;
  }
  return what;
}

Exported of_sums(const RunFile& run, const RowLayout& layout, const std::string& path, const std::string& metric,
                 const std::vector<std::string>& wanted) {
  const auto& links = run.description().weight_layers;
  std::vector<std::string> names;
  std::vector<size_t> positions;
  for (size_t i = 0; i < links.size(); ++i) {
    if (links[i].rows > 0) {
      names.push_back(links[i].name);
      positions.push_back(i);
    }
  }
  if (names.empty()) {
    throw Error(path + " has no " + metric + ": every weight layer is in the graph");
  }
  const size_t layer = positions[only_layer(path, names, wanted, metric)];
  return whole_row(stored(layout, path, weight_layer_path(layer, links.size(), links[layer].name) + "/" + metric, ""),
                   {links[layer].name});
}

Exported of_scalars(const RunFile& run, const std::string& path, const std::string& key) {
  const auto& keys = run.description().scalars;
  pick_layers(path, keys, {key}, "scalars");
  Exported what;
  what.dataset = "/scalars/" + escape_name(key);
  what.names = {key};
  return what;
}

bool starts_with(const std::string& text, std::string_view begin) { return text.compare(0, begin.size(), begin) == 0; }

Exported find(const RunFile& run, const std::string& path, const std::string& metric,
              const std::vector<std::string>& wanted, bool expand) {
  const RowLayout layout(run.description());
  if (is_one_of(kUnitMetrics, metric)) {
    return of_units(run, layout, path, metric, wanted, expand);
  }
  if (is_one_of(kSumMetrics, metric)) {
    return of_sums(run, layout, path, metric, wanted);
  }
  if (starts_with(metric, "scalars/")) {
    return of_scalars(run, path, metric.substr(8));
  }
  if (starts_with(metric, "parameters/")) {
    return whole_row(stored(layout, path, "/parameters/" + escape_name(metric.substr(11)),
                            "it was recorded without the option record_parameters, or has no such parameter"),
                     {});
  }
  static constexpr Metric kHistogram{"histogram", "links", true, "entries per bin"};
  const Metric& known = metric == "histogram" || metric == "links/histogram" ? kHistogram : find_metric(metric);
  const auto names = layer_names(run.description(), known);
  return per_layer(stored(layout, path, known.dataset(), "it was recorded without a histogram"), names,
                   pick_layers(path, names, wanted, metric), wanted.size() == 1);
}

}  // namespace

Exported find_exported(const RunFile& run, const std::string& path, const std::string& metric,
                       const std::vector<std::string>& layers, bool expand) {
  Exported what = find(run, path, metric, layers, expand);
  if (expand && !what.unit_maps_of) {
    throw Error("--expand is for strength, in_strength and out_strength, got " + metric);
  }
  constexpr int64_t kLargest = int64_t{1} << 26;
  int64_t values = 1;
  for (const int64_t size : what.axes) {
    values = size < 0 || (size > 0 && values > kLargest / size) ? kLargest + 1 : values * size;
    if (values > kLargest) {
      break;
    }
  }
  if (values > kLargest) {
    throw Error(path + ": a row of " + metric + " would have more than 2^26 values");
  }
  what.metric = metric;
  return what;
}

int64_t values_per_row(const Exported& what) {
  return std::accumulate(what.axes.begin(), what.axes.end(), int64_t{1}, std::multiplies<>());
}

std::vector<double> read_exported(const RunFile& run, const Exported& what, int64_t first, int64_t count) {
  std::vector<double> values;
  if (what.unit_maps_of) {
    for (int64_t row = first; row < first + count; ++row) {
      const auto map = run.unit_map(*what.unit_maps_of, row, what.metric);
      values.insert(values.end(), map.begin(), map.end());
    }
  } else if (what.picks.empty()) {
    values = run.read(what.dataset, first, count);
  } else {
    const auto block = run.read(what.dataset, first, count);
    const size_t line = block.size() / static_cast<size_t>(count);
    for (size_t row = 0; row < static_cast<size_t>(count); ++row) {
      for (const int64_t position : what.picks) {
        values.push_back(block.at(row * line + static_cast<size_t>(position)));
      }
    }
  }
  require_size(what.dataset, values, count, values_per_row(what));
  return values;
}

}  // namespace dynascope::cli
