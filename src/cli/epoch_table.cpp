// SPDX-License-Identifier: BSD-3-Clause
#include "epoch_table.hpp"

#include "format.hpp"
#include "run_view.hpp"
#include "table.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstddef>

namespace dynascope::cli {
std::vector<Series> read_layers(const RunFile& run, const Shown& shown, const std::vector<int64_t>& rows) {
  const Metric& metric = find_metric(shown.metric);
  const auto names = layer_names(run.description(), metric);
  const auto chosen = pick_layers(shown.path, names, shown.layers, shown.metric);
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

void print_epochs(const Output& output, const RunRows& index, const std::vector<int64_t>& rows,
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

void add_shown(CLI::App& verb, Shown& shown) {
  verb.add_option("RUN", shown.path, "Run file")->required()->type_name("");
  verb.add_option("--layer", shown.layers, "Only this layer; may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->take_all();
  verb.add_option("--metric", shown.metric, "What to show (default: fluctuation)")->type_name("M");
}

}  // namespace dynascope::cli
