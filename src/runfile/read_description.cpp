// SPDX-License-Identifier: BSD-3-Clause
#include "read_description.hpp"

#include "schema.hpp"

#include <dynascope/population_file.hpp>
#include <dynascope/row_layout.hpp>

#include <nlohmann/json.hpp>

#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>

namespace dynascope {
namespace {

using h5::InputFile;

std::string optional_text(const InputFile& file, const char* name) {
  return file.text(file.get(), "/", name).value_or("");
}

std::string required_text(const InputFile& file, hid_t at, const std::string& object, const char* name) {
  auto text = file.text(at, object, name);
  if (!text) {
    file.refuse(object + " has no attribute " + name);
  }
  return std::move(*text);
}

// The one of `values` that is spelled as `text`.
template <class Enum>
Enum spelled(const InputFile& file, const std::string& what, const std::string& text,
             std::initializer_list<Enum> values) {
  std::string known;
  for (const Enum value : values) {
    if (to_string(value) == text) {
      return value;
    }
    known += (known.empty() ? "'" : " or '") + std::string(to_string(value)) + "'";
  }
  file.refuse(what + " must be " + known + ", got '" + text + "'");
}

template <class Enum>
Enum root_choice(const InputFile& file, const char* name, std::initializer_list<Enum> values) {
  return spelled(file, "attribute " + std::string(name), required_text(file, file.get(), "/", name), values);
}

MetricOptions read_metrics(const InputFile& file) {
  return MetricOptions()
      .bias(root_choice(file, "bias", {Bias::kIn, Bias::kNone}))
      .boundary(root_choice(file, "boundary", {Boundary::kOne, Boundary::kZero}))
      .padding(root_choice(file, "padding", {Padding::kTrueEdges, Padding::kAllTaps}))
      .granularity(root_choice(file, "granularity", {Granularity::kUnit, Granularity::kChannel}));
}

std::vector<int64_t> required_integers(const InputFile& file, hid_t at, const std::string& object, const char* name) {
  auto values = file.integers(at, object, name);
  if (!values) {
    file.refuse(object + " has no attribute " + name);
  }
  return std::move(*values);
}

NodeLayerInfo read_node_layer(const InputFile& file, const std::string& name, const std::string& path) {
  const h5::Id group = file.group(path);
  NodeLayerInfo layer;
  layer.name = name;
  layer.role = spelled(file, "attribute role of " + path, required_text(file, group.get(), path, "role"),
                       {Role::kInput, Role::kHidden, Role::kOutput});
  layer.shape = required_integers(file, group.get(), path, "shape");
  layer.stored_shape = required_integers(file, group.get(), path, "stored_shape");
  layer.multiplicity = file.read_all<int64_t>(path + "/multiplicity", 1);
  for (size_t axis = 0; axis < layer.shape.size(); ++axis) {
    const std::string classes = path + "/class_" + std::to_string(axis);
    layer.classes.push_back(file.has(classes) ? file.read_all<int32_t>(classes, 1) : std::vector<int32_t>{});
  }
  return layer;
}

void read_nodes(const InputFile& file, RunDescription& run) {
  const std::vector<std::string> names = file.read_strings("/nodes/layer");
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string path = node_layer_path(i, names.size(), names[i]);
    run.node_layers.push_back(read_node_layer(file, names[i], path));
    run.components = (i == 0 || run.components) && file.has(path + "/" + schema::kUnitColumns[1].name);
  }
}

int64_t sum_length(const InputFile& file, const std::string& path) {
  if (!file.has(path)) {
    return 0;
  }
  const InputFile::Dataset dataset = file.open(path);
  file.check_rank(dataset, 2);
  return static_cast<int64_t>(dataset.dims[1]);
}

void read_links(const InputFile& file, RunDescription& run) {
  const std::vector<std::string> names = file.read_strings("/links/link");
  const std::vector<int64_t> counts = file.read_all<int64_t>("/links/count", 1);
  if (counts.size() != names.size()) {
    file.refuse("/links/count must have one value per weight layer, " + std::to_string(names.size()) + ", got " +
                std::to_string(counts.size()));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    WeightLayerInfo layer{names[i], counts[i], 0, 0};
    const std::string path = weight_layer_path(i, names.size(), names[i]);
    if (file.has(path)) {
      layer.rows = sum_length(file, path + "/" + schema::kRowSumColumn.name);
      layer.columns = sum_length(file, path + "/" + schema::kColumnSumColumn.name);
    }
    run.weight_layers.push_back(std::move(layer));
  }
}

void read_histogram(const InputFile& file, RunDescription& run) {
  const std::string path = "/links/" + std::string(schema::kHistogramColumn.name);
  if (!file.has(path)) {
    run.histogram = Histogram::kOff;
    return;
  }
  const InputFile::Dataset counts = file.open(path);
  const InputFile::Dataset edges = file.open("/links/histogram_edges");
  file.check_rank(counts, 3);
  file.check_rank(edges, 2);
  const auto recorded = file.text(counts.id.get(), path, "recorded").value_or("epoch-ends");
  run.histogram =
      spelled(file, "attribute recorded of " + path, recorded, {Histogram::kEpochEnds, Histogram::kEveryRow});
  run.histogram_bins = static_cast<int64_t>(edges.dims[1]) - 1;
  run.histogram_edges = file.read_rows<double>(edges, 0, edges.dims[0]);
}

void read_graph(const InputFile& file, RunDescription& run) {
  const auto source = file.read_all<int32_t>("/graph/source", 1);
  const auto target = file.read_all<int32_t>("/graph/target", 1);
  const auto link = file.read_all<int32_t>("/graph/link", 1);
  if (source.size() != target.size() || source.size() != link.size()) {
    file.refuse("/graph/source, target and link must be of one length, got " + std::to_string(source.size()) + ", " +
                std::to_string(target.size()) + " and " + std::to_string(link.size()));
  }
  for (size_t i = 0; i < source.size(); ++i) {
    run.connections.push_back({source[i], target[i], link[i]});
  }
}

// -1 where the configuration does not say.
std::pair<int64_t, int64_t> read_counts(const std::string& config) {
  const auto all = nlohmann::json::parse(config, nullptr, false);
  const auto count = [&](const char* name) -> int64_t {
    const nlohmann::json::json_pointer place(std::string("/parameters/") + name);
    return all.is_object() && all.contains(place) && all[place].is_number_unsigned() ? all[place].get<int64_t>() : -1;
  };
  return {count("all"), count("measured")};
}

void read_skipped(const InputFile& file, RunDescription& run) {
  const auto names = file.read_strings("/skipped/name");
  const auto reasons = file.read_strings("/skipped/reason");
  if (names.size() != reasons.size()) {
    file.refuse("/skipped/name and reason must be of one length, got " + std::to_string(names.size()) + " and " +
                std::to_string(reasons.size()));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    run.skipped.push_back({names[i], reasons[i]});
  }
}

// The true name of what a group holds under an escaped one.
std::string true_name(const InputFile& file, const InputFile::Dataset& dataset, const std::string& link) {
  std::string name = file.text(dataset.id.get(), dataset.path, "name").value_or(link);
  if (escape_name(name) != link) {
    file.refuse("attribute name of " + dataset.path + " is '" + name + "', which is not what its path says");
  }
  return name;
}

void read_parameters(const InputFile& file, RunDescription& run) {
  for (const std::string& link : file.names("/parameters")) {
    const InputFile::Dataset dataset = file.open("/parameters/" + link);
    if (dataset.dims.empty() || dataset.kind != H5T_FLOAT) {
      file.refuse(dataset.path + " must hold one floating-point array per row");
    }
    run.parameters.push_back({true_name(file, dataset, link),
                              {dataset.dims.begin() + 1, dataset.dims.end()},
                              dataset.element_bytes == sizeof(double)});
  }
}

void read_scalars(const InputFile& file, const FileKind& kind, RunDescription& run) {
  for (const std::string& link : file.names(kind.scalars)) {
    const std::string path = std::string(kind.scalars) + "/" + link;
    if (kind.is_scalar(path)) {
      run.scalars.push_back(true_name(file, file.open(path), link));
    }
  }
}

int major_of(const std::string& version) { return std::atoi(version.c_str()); }

void check_version(const InputFile& file, const FileKind& kind, const std::string& version) {
  int major = 0;
  const auto parsed = std::from_chars(version.data(), version.data() + version.size(), major);
  if (parsed.ec != std::errc() || parsed.ptr == version.data() + version.size() || *parsed.ptr != '.' || major < 1) {
    file.refuse("schema_version must be a version like " + std::string(kind.version) + ", got '" + version + "'");
  }
  if (major > major_of(kind.version)) {
    file.refuse("it follows schema version " + version + ", and this program reads up to " +
                std::to_string(major_of(kind.version)) + ".x; use a newer Dynascope");
  }
}

}  // namespace

const FileKind& read_kind(const InputFile& file) {
  const auto schema_name = file.text(file.get(), "/", "schema");
  const FileKind* kind = schema_name ? find_kind(*schema_name) : nullptr;
  if (kind == nullptr) {
    file.refuse("it is no run file and no population file: attribute schema must be '" +
                std::string(kind_of<Row>().schema) + "' or '" + kind_of<Member>().schema + "', got " +
                (schema_name ? "'" + *schema_name + "'" : "none"));
  }
  return *kind;
}

RunProvenance read_provenance(const InputFile& file, const FileKind& kind) {
  const auto schema_name = file.text(file.get(), "/", "schema");
  if (schema_name != kind.schema) {
    file.refuse("it is no " + std::string(kind.name) + ": attribute schema must be '" + kind.schema + "', got " +
                (schema_name ? "'" + *schema_name + "'" : "none"));
  }
  RunProvenance provenance;
  provenance.schema_version = required_text(file, file.get(), "/", "schema_version");
  check_version(file, kind, provenance.schema_version);
  provenance.definitions_version = optional_text(file, "definitions_version");
  provenance.creator_version = optional_text(file, "creator_version");
  provenance.created = optional_text(file, "created");
  provenance.run_id = optional_text(file, "run_id");
  provenance.host = optional_text(file, "host");
  provenance.command = optional_text(file, "command");
  provenance.history = optional_text(file, "history");
  return provenance;
}

RunDescription read_description(const InputFile& file, const FileKind& kind) {
  RunDescription run;
  run.metrics = read_metrics(file);
  run.torch_version = optional_text(file, "torch_version");
  run.device = optional_text(file, "device");
  run.backend = optional_text(file, "backend");
  run.config = optional_text(file, "config");
  std::tie(run.parameter_count, run.measured_count) = read_counts(run.config);
  run.title = optional_text(file, "title");
  run.source = optional_text(file, "source");
  read_nodes(file, run);
  read_links(file, run);
  read_histogram(file, run);
  read_graph(file, run);
  read_skipped(file, run);
  if (kind.one_training) {
    read_parameters(file, run);
  }
  read_scalars(file, kind, run);
  schema::check(kind, run, file.path());
  return run;
}

}  // namespace dynascope
