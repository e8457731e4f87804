// SPDX-License-Identifier: BSD-3-Clause
// dynascope info: what a run is. Gathered once into JSON; the text for people is printed from the same values.
#include "format.hpp"
#include "placement.hpp"
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

using Json = nlohmann::ordered_json;

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

Json provenance_json(const RunFile& run) {
  const auto& from = run.provenance();
  const auto& what = run.description();
  return {{"run_id", from.run_id},
          {"created", from.created},
          {"host", from.host},
          {"command", from.command},
          {"title", what.title},
          {"source", what.source},
          {"schema_version", from.schema_version},
          {"definitions_version", from.definitions_version},
          {"creator_version", from.creator_version},
          {"torch_version", what.torch_version},
          {"device", what.device},
          {"backend", what.backend},
          {"in_progress", run.in_progress()},
          {"has_writer", run.has_writer()}};
}

Json options_json(const RunDescription& what) {
  const char* const histograms[] = {"epoch-ends", "every-row", "off"};
  const auto config = Json::parse(what.config, nullptr, false);
  return {{"bias", to_string(what.metrics.bias())},
          {"boundary", to_string(what.metrics.boundary())},
          {"padding", to_string(what.metrics.padding())},
          {"granularity", to_string(what.metrics.granularity())},
          {"components", what.components},
          {"histogram", histograms[static_cast<int>(what.histogram)]},
          {"histogram_bins", what.histogram_bins},
          {"record_parameters", !what.parameters.empty()},
          {"config", config.is_discarded() ? Json(what.config) : config}};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
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

Json layers_json(const RunDescription& what) {
  Json nodes = Json::array();
  for (const auto& layer : what.node_layers) {
    nodes.push_back({{"name", layer.name},
                     {"role", to_string(layer.role)},
                     {"shape", layer.shape},
                     {"stored_shape", layer.stored_shape},
                     {"stored_units", layer.stored_units()}});
  }
  Json weights = Json::array();
  for (size_t i = 0; i < what.weight_layers.size(); ++i) {
    Json from = Json::array();
    Json to = Json::array();
    for (const auto& arrow : what.connections) {
      if (arrow.link == static_cast<int32_t>(i)) {
        for (auto [side, position] : {std::pair{&from, arrow.source}, std::pair{&to, arrow.target}}) {
          const auto& name = what.node_layers.at(static_cast<size_t>(position)).name;
          if (std::find(side->begin(), side->end(), Json(name)) == side->end()) {
            side->push_back(name);
          }
        }
      }
    }
    weights.push_back(
        {{"name", what.weight_layers[i].name}, {"count", what.weight_layers[i].count}, {"from", from}, {"to", to}});
  }
  return {{"nodes", nodes}, {"links", weights}};
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
  Json skipped = Json::array();
  for (const auto& item : run.description().skipped) {
    skipped.push_back({{"name", item.name}, {"reason", item.reason}});
  }
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
          {"skipped", skipped},
          {"events", events}};
}

std::string text_of(const Json& value) { return printable(value.get_ref<const std::string&>()); }

std::string joined(const Json& names) {
  std::string text;
  for (const auto& name : names) {
    text += (text.empty() ? "" : ", ") + text_of(name);
  }
  return text.empty() ? "-" : text;
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
  const Json& from = info["provenance"];
  const Json& options = info["options"];
  const Json& rows = info["rows"];
  const auto line = [&](const std::string& key, const std::string& value) {
    if (!value.empty()) {
      output.data << dim(key + std::string(13 - key.size(), ' '), output.color) << value << '\n';
    }
  };
  output.data << bold(text_of(info["run"]), output.color) << '\n';
  line("title", text_of(from["title"]));
  line("source", text_of(from["source"]));
  line("run", text_of(from["run_id"]) + ", " + text_of(from["created"]) + " on " + text_of(from["host"]));
  line("command", text_of(from["command"]));
  line("state", !from["in_progress"].get<bool>() ? "finished"
                : from["has_writer"].get<bool>() ? "open: still training"
                                                 : "left behind: the process that wrote it was killed");
  line("size", std::to_string(info["bytes"].get<uint64_t>()) + " bytes");
  line("written by", "dynascope " + text_of(from["creator_version"]) + ", schema " + text_of(from["schema_version"]) +
                         ", LibTorch " + text_of(from["torch_version"]));
  line("definitions", text_of(from["definitions_version"]) + ": bias " + text_of(options["bias"]) + ", boundary " +
                          text_of(options["boundary"]) + ", padding " + text_of(options["padding"]) + ", granularity " +
                          text_of(options["granularity"]));
  line("device", text_of(from["device"]) + ", backend " + text_of(from["backend"]));
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

void print_section(const Output& output, const std::string& title, const Table& table) {
  if (!table.empty()) {
    output.data << '\n' << bold(title, output.color) << '\n';
    table.print(output.data, false);
  }
}

void print_tables(const Output& output, const Json& info) {
  Table nodes;
  for (const char* title : {"layer", "role", "units", "stored"}) {
    nodes.column(title, Align::kLeft);
  }
  for (const auto& layer : info["node_layers"]) {
    nodes.row({text_of(layer["name"]), text_of(layer["role"]), shape(layer["shape"]), shape(layer["stored_shape"])});
  }
  print_section(output, "Node layers", nodes);

  Table links;
  links.column("layer", Align::kLeft);
  links.column("entries", Align::kRight);
  links.column("from", Align::kLeft);
  links.column("to", Align::kLeft);
  for (const auto& layer : info["weight_layers"]) {
    links.row({text_of(layer["name"]), std::to_string(layer["count"].get<int64_t>()), joined(layer["from"]),
               joined(layer["to"])});
  }
  print_section(output, "Weight layers", links);

  Table skipped;
  skipped.column("name", Align::kLeft);
  skipped.column("reason", Align::kLeft);
  for (const auto& item : info["skipped"]) {
    skipped.row({text_of(item["name"]), text_of(item["reason"])});
  }
  print_section(output, "Skipped", skipped);

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
  CLI::App* verb = app.add_subcommand("info", "What a run is: definitions, layers, rows, cost, what was skipped");
  verb->add_option("RUN", options->path, "Run file")->required()->type_name("");
  verb->add_flag("--json", options->json, "Print JSON; null for NaN");
  verb->footer("Example:\n  dynascope info run.h5");
  verb->callback([options, &job] {
    job.reads = options->path;
    job.action = [options](const Output& output) {
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
