// SPDX-License-Identifier: BSD-3-Clause
// dynascope show: one metric, a line per epoch and a column per layer, the user's scalars beside it.
//
// Columns are layers, not epochs: runs have tens of layers and hundreds of epochs, and a column is what a sparkline
// and awk both want. On a terminal wide tables are folded; in a pipe a line is always one epoch.
#include "format.hpp"
#include "run_view.hpp"
#include "table.hpp"
#include "verb.hpp"

#include <dynascope/error.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace dynascope::cli {
namespace {

struct ShowOptions {
  std::string path;
  std::string metric = "fluctuation";
  std::vector<std::string> layers;
  std::string epochs;
  bool json = false;
};

struct EpochRange {
  int64_t first = 0;
  int64_t last = std::numeric_limits<int64_t>::max();
};

struct Series {
  std::string name;
  bool integer = false;
  std::vector<double> values;  // one per row shown
};

int64_t epoch_number(const std::string& text, const std::string& whole) {
  size_t used = 0;
  int64_t value = -1;
  try {
    value = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value < 0) {
    throw Error("--epochs must be A:B, A:, :B or A with whole numbers from 0, got '" + whole + "'");
  }
  return value;
}

EpochRange parse_epochs(const std::string& text) {
  EpochRange range;
  if (text.empty()) {
    return range;
  }
  const size_t colon = text.find(':');
  const std::string first = text.substr(0, colon);
  const std::string last = colon == std::string::npos ? first : text.substr(colon + 1);
  if (!first.empty() || colon == std::string::npos || last.empty()) {
    range.first = epoch_number(first, text);
  }
  if (!last.empty()) {
    range.last = epoch_number(last, text);
  }
  if (range.first > range.last) {
    throw Error("--epochs A:B must have A no greater than B, got '" + text + "'");
  }
  return range;
}

std::vector<size_t> chosen_layers(const std::vector<std::string>& names, const ShowOptions& options) {
  std::vector<size_t> chosen;
  for (const std::string& wanted : options.layers) {
    const auto found = std::find(names.begin(), names.end(), wanted);
    if (found == names.end()) {
      std::string known;
      for (const std::string& name : names) {
        known += (known.empty() ? "" : ", ") + name;
      }
      throw Error(options.path + ": no layer '" + wanted + "' with metric " + options.metric +
                  "; there are: " + printable(known));
    }
    chosen.push_back(static_cast<size_t>(found - names.begin()));
  }
  for (size_t i = 0; options.layers.empty() && i < names.size(); ++i) {
    chosen.push_back(i);
  }
  return chosen;
}

std::vector<Series> read_layers(const RunFile& run, const ShowOptions& options, const std::vector<int64_t>& rows) {
  const Metric& metric = find_metric(options.metric);
  const auto names = layer_names(run.description(), metric);
  const auto chosen = chosen_layers(names, options);
  const auto values = names.empty() ? std::vector<double>{} : read_rows(run, metric.dataset(), rows, names.size());
  std::vector<Series> all;
  for (const size_t layer : chosen) {
    Series series{names[layer], metric.integer, {}};
    for (size_t row = 0; row < rows.size(); ++row) {
      series.values.push_back(values[row * names.size() + layer]);
    }
    all.push_back(std::move(series));
  }
  return all;
}

std::vector<Series> read_scalars(const RunFile& run, const std::vector<int64_t>& rows) {
  std::vector<Series> all;
  for (const std::string& key : run.description().scalars) {
    const auto values = run.scalar(key);
    Series series{key, false, {}};
    for (const int64_t row : rows) {
      series.values.push_back(values.at(static_cast<size_t>(row)));
    }
    all.push_back(std::move(series));
  }
  return all;
}

void print_table(const Output& output, const RunRows& index, const std::vector<int64_t>& rows,
                 const std::vector<Series>& columns) {
  Table table;
  table.column("epoch", Align::kRight);
  table.column("step", Align::kRight);
  for (const Series& series : columns) {
    table.column(printable(series.name), Align::kRight);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<size_t>(rows[i]);
    std::vector<std::string> cells{std::to_string(index.epoch[row]), std::to_string(index.step[row])};
    for (const Series& series : columns) {
      const double value = series.values[i];
      cells.push_back(series.integer ? std::to_string(static_cast<int64_t>(value)) : number(value));
    }
    table.row(cells);
  }
  if (output.terminal && rows.size() > 1) {
    std::vector<std::string> trend{"trend", ""};
    for (size_t i = 0; i < columns.size(); ++i) {
      trend.push_back(sparkline(columns[i].values, std::max<size_t>(table.width(i + 2), 12)));
    }
    table.footer(std::move(trend));
  }
  table.print(output.data, output.color, 1, output.terminal ? static_cast<size_t>(output.width) : 0);
}

void print_columns(const Output& output, const ShowOptions& options, const RunRows& index,
                   const std::vector<int64_t>& rows, const std::vector<Series>& layers,
                   const std::vector<Series>& scalars) {
  nlohmann::ordered_json json{{"run", options.path}, {"metric", find_metric(options.metric).dataset().substr(1)}};
  for (const char* key : {"row", "epoch", "step", "epoch_end", "time"}) {
    json[key] = nlohmann::ordered_json::array();
  }
  for (const int64_t row : rows) {
    const auto i = static_cast<size_t>(row);
    json["row"].push_back(row);
    json["epoch"].push_back(index.epoch[i]);
    json["step"].push_back(index.step[i]);
    json["epoch_end"].push_back(static_cast<bool>(index.epoch_end[i]));
    json["time"].push_back(index.time[i]);
  }
  json["layers"] = nlohmann::ordered_json::object();
  for (const Series& series : layers) {
    if (series.integer) {
      json["layers"][series.name] = std::vector<int64_t>(series.values.begin(), series.values.end());
    } else {
      json["layers"][series.name] = series.values;
    }
  }
  json["scalars"] = nlohmann::ordered_json::object();
  for (const Series& series : scalars) {
    json["scalars"][series.name] = series.values;
  }
  print_json(output.data, json);
}

int show(const ShowOptions& options, const Output& output) {
  const EpochRange range = parse_epochs(options.epochs);
  find_metric(options.metric);
  const RunFile run = open_run(options.path);
  const RunRows index = run.row_index();
  const auto rows = rows_of_epochs(index, range.first, range.last);
  auto layers = read_layers(run, options, rows);
  auto scalars = read_scalars(run, rows);
  if (options.json) {
    print_columns(output, options, index, rows, layers, scalars);
    return 0;
  }
  if (rows.empty()) {
    output.messages << "dynascope: " << printable(options.path) << ": no row in the epochs asked for; the run has "
                    << run.rows() << " rows\n";
    return 0;
  }
  layers.insert(layers.end(), scalars.begin(), scalars.end());
  print_table(output, index, rows, layers);
  if (!index.epoch_end[static_cast<size_t>(rows.back())]) {
    output.messages << "dynascope: epoch " << index.epoch[static_cast<size_t>(rows.back())]
                    << " was not closed; its newest row is shown\n";
  }
  return 0;
}

}  // namespace

void add_show(CLI::App& app, Action& action) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* verb = app.add_subcommand("show", "One metric per epoch and layer, with the scalars of the run");
  verb->add_option("RUN", options->path, "Run file")->required()->type_name("");
  verb->add_option("--layer", options->layers, "Only this layer; may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option("--metric", options->metric, "What to show (default: fluctuation)")->type_name("M");
  verb->add_option("--epochs", options->epochs, "Epochs A to B inclusive; A: and :B are open, 0 is before training")
      ->type_name("A:B");
  verb->add_flag("--json", options->json, "Print JSON: one array per layer and scalar; null for NaN");
  verb->footer("Metrics:\n" + metric_help() +
               "Of each epoch the row that closes it is shown, or its newest where none did.");
  verb->callback([options, &action] { action = [options](const Output& output) { return show(*options, output); }; });
}

}  // namespace dynascope::cli
