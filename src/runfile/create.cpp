// SPDX-License-Identifier: BSD-3-Clause
#include "create.hpp"

#include "maker.hpp"
#include "schema.hpp"

#include <dynascope/error.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <numeric>
#include <string>
#include <unistd.h>
#include <vector>

namespace dynascope {
namespace {

namespace fs = std::filesystem;

using h5::Axis;
using h5::Maker;

std::vector<int64_t> counting(int64_t size) {
  std::vector<int64_t> numbers(static_cast<size_t>(size));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

template <class List, class Get>
auto column_of(const List& list, Get get) {
  std::vector<decltype(get(list.front()))> values;
  values.reserve(list.size());
  for (const auto& item : list) {
    values.push_back(get(item));
  }
  return values;
}

void index_scale(Maker& maker, const std::string& path, int64_t size, const char* long_name) {
  maker.values(path, counting(size), {Axis{path, size}}, {long_name, "1"});
}

void root_attributes(hid_t file, const FileKind& kind, const RunDescription& description, const RunProvenance& from) {
  const MetricOptions& metrics = description.metrics;
  const auto text = [&](const char* name, std::string_view value) { h5::write_attribute(file, name, value); };
  text("schema", kind.schema);
  text("schema_version", kind.version);
  text("definitions_version", from.definitions_version);
  text("creator_version", from.creator_version);
  text("created", from.created);
  text("run_id", from.run_id);
  text("host", from.host);
  text("command", from.command);
  text("torch_version", description.torch_version);
  text("device", description.device);
  text("backend", description.backend);
  text("bias", to_string(metrics.bias()));
  text("boundary", to_string(metrics.boundary()));
  text("padding", to_string(metrics.padding()));
  text("granularity", to_string(metrics.granularity()));
  h5::write_attribute(file, "ddof", int64_t{0});
  text("config", description.config);
  text("title", description.title);
  text("source", description.source);
  text("history", from.history);
  text("Conventions", schema::kConventions);
}

h5::Element element_of(Stored type) {
  return type == Stored::kFloat64 ? h5::element<double>()
         : type == Stored::kUint8 ? h5::element<uint8_t>()
                                  : h5::element<int64_t>();
}

// Under this name the scale is made, and netCDF and xarray know it.
std::string first_name(const FileKind& kind) {
  return kind.scale_in_root != nullptr ? kind.scale_in_root : kind.scale();
}

void row_index(Maker& maker, const FileKind& kind) {
  std::string_view last;
  for (const FileKind::Index& column : kind.index) {
    const bool scale = column.path == kind.scale();
    const auto make = [&](const std::string& path) {
      maker.growing(path, element_of(column.type), {Axis{first_name(kind)}}, {column.long_name, column.units});
    };
    if (scale && kind.scale_in_root != nullptr) {
      make(kind.scale_in_root);
    }
    const std::string_view group = group_of(column.path);
    if (group != last) {
      maker.group(std::string(group));
    }
    last = group;
    if (scale && kind.scale_in_root != nullptr) {
      h5::add_name(maker.file(), kind.scale_in_root, kind.scale());
    } else {
      make(column.path);
    }
  }
}

void node_layer(Maker& maker, const std::string& path, const NodeLayerInfo& layer) {
  const h5::Id group = maker.group(path);
  h5::write_attribute(group.get(), "name", layer.name);
  h5::write_attribute(group.get(), "shape", layer.shape);
  h5::write_attribute(group.get(), "stored_shape", layer.stored_shape);
  h5::write_attribute(group.get(), "role", to_string(layer.role));
  const Axis unit{path + "/unit", layer.stored_units()};
  index_scale(maker, unit.scale, unit.size, "stored unit, row-major over stored_shape");
  maker.values(path + "/multiplicity", layer.multiplicity, {unit}, {"units that each stored value stands for", "1"});
  for (size_t axis = 0; axis < layer.classes.size(); ++axis) {
    if (!layer.classes[axis].empty()) {
      const std::string scale = path + "/class_" + std::to_string(axis);
      maker.values(scale, layer.classes[axis], {Axis{scale, layer.shape[axis]}},
                   {"class of each coordinate of axis " + std::to_string(axis), "1"});
    }
  }
}

void nodes(Maker& maker, const RunDescription& description) {
  maker.group("/nodes");
  const auto& layers = description.node_layers;
  maker.strings("/nodes/layer", column_of(layers, [](const NodeLayerInfo& layer) { return layer.name; }),
                {"/nodes/layer", static_cast<int64_t>(layers.size())}, {"node layers in execution order", "1"});
  for (size_t i = 0; i < layers.size(); ++i) {
    node_layer(maker, node_layer_path(i, layers.size(), layers[i].name), layers[i]);
  }
}

void links(Maker& maker, const RunDescription& description) {
  maker.group("/links");
  const auto& layers = description.weight_layers;
  const Axis link{"/links/link", static_cast<int64_t>(layers.size())};
  maker.strings(link.scale, column_of(layers, [](const WeightLayerInfo& layer) { return layer.name; }), link,
                {"weight layers in execution order", "1"});
  maker.values("/links/count", column_of(layers, [](const WeightLayerInfo& layer) { return layer.count; }), {link},
               {"entries counted: weights, and biases with bias=in", "1"});
  if (description.histogram != Histogram::kOff) {
    const Axis edge{"/links/edge", description.histogram_bins + 1};
    index_scale(maker, "/links/bin", description.histogram_bins + 2, "bin; the first is underflow, the last overflow");
    index_scale(maker, edge.scale, edge.size, "edge between bins");
    maker.values("/links/histogram_edges", description.histogram_edges, {link, edge},
                 {"edges of the bins, fixed at the first row", "1"});
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].rows > 0 || layers[i].columns > 0) {
      const std::string path = weight_layer_path(i, layers.size(), layers[i].name);
      h5::write_attribute(maker.group(path).get(), "name", layers[i].name);
      if (layers[i].rows > 0) {
        index_scale(maker, path + "/row", layers[i].rows, "row of the weights");
      }
      if (layers[i].columns > 0) {
        index_scale(maker, path + "/column", layers[i].columns, "column of the weights");
      }
    }
  }
}

void graph(Maker& maker, const RunDescription& description) {
  maker.group("/graph");
  const auto& list = description.connections;
  const Axis connection{"/graph/connection", static_cast<int64_t>(list.size())};
  index_scale(maker, connection.scale, connection.size, "connection between two node layers");
  maker.values("/graph/source", column_of(list, [](const ConnectionInfo& c) { return c.source; }), {connection},
               {"position of the node layer that the links leave", "1"});
  maker.values("/graph/target", column_of(list, [](const ConnectionInfo& c) { return c.target; }), {connection},
               {"position of the node layer that the links enter", "1"});
  maker.values("/graph/link", column_of(list, [](const ConnectionInfo& c) { return c.link; }), {connection},
               {"position of the weight layer; -1 for identity links", "1"});
}

void skipped(Maker& maker, const RunDescription& description) {
  maker.group("/skipped");
  const auto& list = description.skipped;
  const Axis item{"/skipped/item", static_cast<int64_t>(list.size())};
  index_scale(maker, item.scale, item.size, "what is not in the graph");
  maker.strings("/skipped/name", column_of(list, [](const SkippedInfo& s) { return s.name; }), item,
                {"operation or module", "1"});
  maker.strings("/skipped/reason", column_of(list, [](const SkippedInfo& s) { return s.reason; }), item,
                {"why it is not in the graph", "1"});
}

void events(Maker& maker) {
  maker.group("/events");
  const Axis event{"/events/event"};
  maker.growing("/events/event", h5::element<int64_t>(), {event}, {"event, in the order of time", "1"});
  maker.growing("/events/step", h5::element<int64_t>(), {event}, {"optimizer steps done", "1"});
  maker.growing("/events/time", h5::element<double>(), {event}, {"seconds since training began", "s"});
  maker.growing("/events/code", h5::element<int32_t>(), {event}, {"what happened", "1"});
  maker.growing("/events/value", h5::element<double>(), {event}, {"a number that goes with the code", "1"});
  maker.growing_strings("/events/message", schema::kMessageBytes, event, {"what happened, in words", "1"});
}

void scalars(Maker& maker, const FileKind& kind, const RunDescription& description) {
  if (!kind.has_index_in(kind.scalars)) {
    maker.group(kind.scalars);
  }
  for (const std::string& key : description.scalars) {
    const h5::Id dataset =
        maker.growing(kind.scalar_path(key), h5::element<double>(), {Axis{first_name(kind)}}, {key, "1"});
    h5::write_attribute(dataset.get(), "name", key);
  }
}

void measured(Maker& maker, const FileKind& kind, const RunDescription& description, const RowLayout& layout) {
  for (const Span& span : layout.spans()) {
    const schema::Column* column = schema::column(span.path);
    // A parameter has axes of its own, which no scale names; then its row axis has none either, as a dataset with
    // scales on some axes only makes netCDF refuse the whole file.
    const bool named = column != nullptr || span.shape.empty();
    std::vector<Axis> axes{Axis{named ? first_name(kind) : ""}};
    for (size_t axis = 0; axis < span.shape.size(); ++axis) {
      axes.push_back({column != nullptr ? schema::scale_of(span.path, *column, axis) : "", span.shape[axis]});
    }
    const h5::Meaning meaning =
        column != nullptr ? h5::Meaning{column->long_name, column->units} : h5::Meaning{"values of a parameter", "1"};
    maker.growing(span.path, h5::element(span.type), axes, meaning);
  }
  for (const ParameterInfo& parameter : description.parameters) {
    const h5::Id dataset = h5::open_dataset(maker.file(), schema::parameter_path(parameter.name));
    h5::write_attribute(dataset.get(), "name", parameter.name);
  }
  if (description.histogram != Histogram::kOff) {
    const h5::Id dataset = h5::open_dataset(maker.file(), "/links/histogram");
    h5::write_attribute(dataset.get(), "recorded", to_string(description.histogram));
  }
}

}  // namespace

std::string make_room(const std::string& path, bool overwrite) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    const fs::path folder = fs::path(path).parent_path();
    if (!folder.empty() && !fs::is_directory(folder, error)) {
      throw Error("cannot create " + path + ": there is no folder " + folder.string() + "; make it first");
    }
    return path;
  }
  if (!fs::is_regular_file(status)) {
    throw Error("cannot create " + path + ": it exists and is no regular file; choose another path");
  }
  if (!overwrite) {
    throw Error("cannot create " + path +
                ": it exists already; choose another path, remove it, or set overwrite(true)");
  }
  const fs::path target = fs::canonical(path, error);
  if (error || !fs::remove(target, error)) {
    throw Error("cannot overwrite " + path + ": " + error.message());
  }
  return target.string();
}

void sync_to_disk(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool done = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  if (!done) {
    throw Error("cannot fsync " + path + ": " + std::strerror(reason));
  }
}

void create_whole(hid_t file, const FileKind& kind, const RunDescription& description, const RowLayout& layout,
                  const RunProvenance& provenance, const h5::Packing& packing) {
  Maker maker(file, packing);
  root_attributes(file, kind, description, provenance);
  maker.values<uint64_t>("/committed", {0}, {}, {"rows that are complete", "1"});
  row_index(maker, kind);
  nodes(maker, description);
  links(maker, description);
  graph(maker, description);
  scalars(maker, kind, description);
  skipped(maker, description);
  if (kind.one_training) {
    maker.group("/parameters");
    events(maker);
  }
  measured(maker, kind, description, layout);
}

}  // namespace dynascope
