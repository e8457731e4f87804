// SPDX-License-Identifier: BSD-3-Clause
#include "described.hpp"

#include "format.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace dynascope::cli {
namespace {

std::string joined(const Json& names) {
  std::string text;
  for (const auto& name : names) {
    text += (text.empty() ? "" : ", ") + text_of(name);
  }
  return text.empty() ? "-" : text;
}

}  // namespace

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

Json skipped_json(const RunDescription& what) {
  Json skipped = Json::array();
  for (const auto& item : what.skipped) {
    skipped.push_back({{"name", item.name}, {"reason", item.reason}});
  }
  return skipped;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string text_of(const Json& value) { return printable(value.get_ref<const std::string&>()); }

void print_line(const Output& output, const std::string& key, const std::string& value) {
  if (!value.empty()) {
    output.data << dim(key + std::string(13 - key.size(), ' '), output.color) << value << '\n';
  }
}

void print_origin(const Output& output, const Json& info, const char* whole, const char* doing) {
  const Json& from = info["provenance"];
  const Json& options = info["options"];
  const auto line = [&](const std::string& key, const std::string& value) { print_line(output, key, value); };
  output.data << bold(text_of(info[whole]), output.color) << '\n';
  line("title", text_of(from["title"]));
  line("source", text_of(from["source"]));
  line(whole, text_of(from["run_id"]) + ", " + text_of(from["created"]) + " on " + text_of(from["host"]));
  line("command", text_of(from["command"]));
  line("state", !from["in_progress"].get<bool>() ? "finished"
                : from["has_writer"].get<bool>() ? std::string("open: ") + doing
                                                 : "left behind: the process that wrote it was killed");
  line("size", std::to_string(info["bytes"].get<uint64_t>()) + " bytes");
  line("written by", "dynascope " + text_of(from["creator_version"]) + ", schema " + text_of(from["schema_version"]) +
                         ", LibTorch " + text_of(from["torch_version"]));
  line("definitions", text_of(from["definitions_version"]) + ": bias " + text_of(options["bias"]) + ", boundary " +
                          text_of(options["boundary"]) + ", padding " + text_of(options["padding"]) + ", granularity " +
                          text_of(options["granularity"]));
  line("device", text_of(from["device"]) + ", backend " + text_of(from["backend"]));
}

void print_section(const Output& output, const std::string& title, const Table& table) {
  if (!table.empty()) {
    output.data << '\n' << bold(title, output.color) << '\n';
    table.print(output.data, false);
  }
}

void print_layers(const Output& output, const Json& info) {
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
}

}  // namespace dynascope::cli
