// SPDX-License-Identifier: BSD-3-Clause
// dynascope info: what a run is. Gathered once into JSON; the text for people is printed from the same values.
#include "described.hpp"
#include "format.hpp"
#include "placement.hpp"
#include "population_info.hpp"
#include "run_view.hpp"
#include "table.hpp"
#include "verb.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace dynascope::cli {
namespace {

struct NonFinite {
  int64_t row = 0;
  std::string layer;
  int64_t count = 0;
};

// First row with a non-finite value, and in it the first weight layer (the cause) or else node layer.
std::optional<NonFinite> first_non_finite(const RunFile& run) {
  constexpr int64_t kBlock = 4096;
  const Metric* metrics[] = {&find_metric("links/nonfinite"), &find_metric("nodes/nonfinite")};
  for (int64_t begin = 0; begin < run.rows(); begin += kBlock) {
    const int64_t count = std::min(kBlock, run.rows() - begin);
    std::vector<int64_t> rows(static_cast<size_t>(count));
    std::iota(rows.begin(), rows.end(), begin);
    std::optional<NonFinite> first;
    for (const Metric* metric : metrics) {
      const auto names = layer_names(run.description(), *metric);
      if (names.empty()) {
        continue;
      }
      const auto values = read_rows(run, metric->dataset(), rows, names.size());
      const auto found = std::find_if(values.begin(), values.end(), [](double value) { return value > 0; });
      if (found == values.end()) {
        continue;
      }
      const auto at = static_cast<size_t>(found - values.begin());
      const int64_t row = begin + static_cast<int64_t>(at / names.size());
      if (!first || row < first->row) {
        first = NonFinite{row, names[at % names.size()], static_cast<int64_t>(*found)};
      }
    }
    if (first) {
      return first;
    }
  }
  return std::nullopt;
}

Json rows_json(const RunFile& run) {
  const RunRows index = run.row_index();
  const auto total = [](const auto& values) { return std::accumulate(values.begin(), values.end(), 0.0); };
  Json rows{{"count", run.rows()}};
  if (run.rows() > 0) {
    rows["last_step"] = index.step.back();
    rows["last_epoch"] = index.epoch.back();
    rows["epochs_closed"] = std::count(index.epoch_end.begin() + 1, index.epoch_end.end(), true);
    rows["seconds"] = index.time.back();
    rows["snapshot_seconds"] = total(index.snapshot_seconds);
    rows["snapshot_seconds_median"] = median(index.snapshot_seconds);
    rows["dropped"] = std::accumulate(index.dropped.begin(), index.dropped.end(), int64_t{0});
  }
  const auto bad = first_non_finite(run);
  rows["first_non_finite"] = nullptr;
  if (bad) {
    const auto row = static_cast<size_t>(bad->row);
    rows["first_non_finite"] = {{"row", bad->row},
                                {"step", index.step[row]},
                                {"epoch", index.epoch[row]},
                                {"layer", bad->layer},
                                {"count", bad->count}};
  }
  return rows;
}

Json scalars_json(const RunFile& run) {
  Json scalars = Json::object();
  for (const auto& key : run.description().scalars) {
    const auto values = run.scalar(key);
    const auto last = std::find_if(values.rbegin(), values.rend(), [](double value) { return value == value; });
    scalars[key] = last == values.rend() ? Json(nullptr) : Json(*last);
  }
  return scalars;
}

Json gather(const std::string& path, const RunFile& run) {
  Json events = Json::array();
  for (const auto& event : run.events()) {
    events.push_back({{"step", event.step},
                      {"time", event.time},
                      {"code", static_cast<int32_t>(event.code)},
                      {"value", event.value},
                      {"message", event.message}});
  }
  const Json layers = layers_json(run.description());
  std::error_code unknown;
  return {{"run", path},
          {"bytes", std::filesystem::file_size(path, unknown)},
          {"provenance", provenance_json(run)},
          {"options", options_json(run.description())},
          {"rows", rows_json(run)},
          {"last_scalars", scalars_json(run)},
          {"node_layers", layers["nodes"]},
          {"weight_layers", layers["links"]},
          {"parameters", parameters_json(run.description())},
          {"placement", placement_json(run.description())},
          {"skipped", skipped_json(run.description())},
          {"events", events}};
}

std::string rows_text(const Json& rows) {
  std::string text = std::to_string(rows["count"].get<int64_t>());
  if (rows.contains("last_step")) {
    text += ", up to step " + std::to_string(rows["last_step"].get<int64_t>()) + ", epoch " +
            std::to_string(rows["last_epoch"].get<int64_t>()) + " (" +
            std::to_string(rows["epochs_closed"].get<int64_t>()) + " epochs closed)";
  }
  return text;
}

std::string cost_text(const Json& rows) {
  if (!rows.contains("seconds")) {
    return "-";
  }
  const double cost = rows["snapshot_seconds"];
  const double seconds = rows["seconds"];
  std::string text = duration(rows["snapshot_seconds_median"]) + " a snapshot (median), " + duration(cost) + " in all";
  text += seconds > 0 ? ", " + number(100 * cost / seconds) + " % of the time" : "";
  const auto dropped = rows["dropped"].get<int64_t>();
  return text + (dropped > 0 ? "; " + std::to_string(dropped) + " rows dropped" : "; no row dropped");
}

std::string non_finite_text(const Json& first) {
  return first.is_null() ? "none"
                         : "first in step " + std::to_string(first["step"].get<int64_t>()) + " (epoch " +
                               std::to_string(first["epoch"].get<int64_t>()) +
                               "): " + std::to_string(first["count"].get<int64_t>()) + " in " + text_of(first["layer"]);
}

void print_summary(const Output& output, const Json& info) {
  const Json& rows = info["rows"];
  print_origin(output, info, "run", "still training");
  const auto line = [&](const char* key, const std::string& value) { print_line(output, key, value); };
  line("rows", rows_text(rows));
  line("wall time", rows.contains("seconds") ? duration(rows["seconds"]) : "-");
  line("cost", cost_text(rows));
  std::string scalars;
  for (const auto& [key, value] : info["last_scalars"].items()) {
    scalars += (scalars.empty() ? "" : ", ") + printable(key) + " " + (value.is_null() ? "nan" : number(value));
  }
  line("scalars", scalars);
  line("measured", parameters_text(info["parameters"]));
  line("in the graph", placement_text(info["placement"]));
  line("non-finite", non_finite_text(rows["first_non_finite"]));
}

void print_tables(const Output& output, const Json& info) {
  print_layers(output, info);

  Table events;
  events.column("step", Align::kRight);
  events.column("code", Align::kRight);
  events.column("what happened", Align::kLeft);
  for (const auto& event : info["events"]) {
    events.row({std::to_string(event["step"].get<int64_t>()), std::to_string(event["code"].get<int32_t>()),
                text_of(event["message"])});
  }
  print_section(output, "Events", events);
}

}  // namespace

void add_info(CLI::App& app, Job& job) {
  struct Options {
    std::string path;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("info", "What a run or a population is: definitions, layers, rows, cost, what was skipped");
  verb->add_option("RUN", options->path, "Run file or population file")->required()->type_name("");
  verb->add_flag("--json", options->json, "Print JSON; null for NaN");
  verb->footer("Example:\n  dynascope info run.h5");
  verb->callback([options, &job] {
    job.reads = options->path;
    job.action = [options](const Output& output) {
      if (is_population(options->path)) {
        return print_population(options->path, options->json, output);
      }
      const Json info = gather(options->path, open_run(options->path));
      if (options->json) {
        print_json(output.data, info);
      } else {
        print_summary(output, info);
        print_tables(output, info);
      }
      return 0;
    };
  });
}

}  // namespace dynascope::cli
