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

void print_columns(const Output& output, const ShowOptions& options, const RunRows& index,
                   const std::vector<int64_t>& rows, const std::vector<Series>& layers,
                   const std::vector<Series>& scalars) {
  nlohmann::ordered_json json{{"run", options.shown.path},
                              {"metric", find_metric(options.shown.metric).dataset().substr(1)}};
  add_row_keys(json, index, rows);
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
               "Of each epoch the row that closes it is shown, or its newest where none did.\n\n"
               "Example:\n  dynascope show run.h5 --metric std --epochs 10:20");
  verb->callback([options, &job] {
    job.reads = options->shown.path;
    job.action = [options](const Output& output) { return show(*options, output); };
  });
}

}  // namespace dynascope::cli
