// SPDX-License-Identifier: BSD-3-Clause
// dynascope show: one metric, a line per epoch and a column per layer, the user's scalars beside it.
//
// Columns are layers, not epochs: runs have tens of layers and hundreds of epochs, and a column is what a sparkline
// and awk both want. On a terminal wide tables are folded; in a pipe a line is always one epoch.
#include "epoch_table.hpp"
#include "format.hpp"
#include "run_view.hpp"
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
  Shown shown;
  std::string epochs;
  bool json = false;
};

struct EpochRange {
  int64_t first = 0;
  int64_t last = std::numeric_limits<int64_t>::max();
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

void print_columns(const Output& output, const ShowOptions& options, const RunRows& index,
                   const std::vector<int64_t>& rows, const std::vector<Series>& layers,
                   const std::vector<Series>& scalars) {
  nlohmann::ordered_json json{{"run", options.shown.path},
                              {"metric", find_metric(options.shown.metric).dataset().substr(1)}};
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
  find_metric(options.shown.metric);
  const RunFile run = open_run(options.shown.path);
  const RunRows index = run.row_index();
  const auto rows = rows_of_epochs(index, range.first, range.last);
  auto layers = read_layers(run, options.shown, rows);
  auto scalars = read_scalars(run, rows);
  if (options.json) {
    print_columns(output, options, index, rows, layers, scalars);
    return 0;
  }
  if (rows.empty()) {
    output.messages << "dynascope: " << printable(options.shown.path)
                    << ": no row in the epochs asked for; the run has " << run.rows() << " rows\n";
    return 0;
  }
  layers.insert(layers.end(), scalars.begin(), scalars.end());
  print_epochs(output, index, rows, layers);
  if (!index.epoch_end[static_cast<size_t>(rows.back())]) {
    output.messages << "dynascope: epoch " << index.epoch[static_cast<size_t>(rows.back())]
                    << " was not closed; its newest row is shown\n";
  }
  return 0;
}

}  // namespace

void add_show(CLI::App& app, Job& job) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* verb = app.add_subcommand("show", "One metric per epoch and layer, with the scalars of the run");
  add_shown(*verb, options->shown);
  verb->add_option("--epochs", options->epochs, "Epochs A to B inclusive; A: and :B are open, 0 is before training")
      ->type_name("A:B");
  verb->add_flag("--json", options->json, "Print JSON: one array per layer and scalar; null for NaN");
  verb->footer("Metrics:\n" + metric_help() +
               "Of each epoch the row that closes it is shown, or its newest where none did.");
  verb->callback([options, &job] {
    job.reads = options->shown.path;
    job.action = [options](const Output& output) { return show(*options, output); };
  });
}

}  // namespace dynascope::cli
