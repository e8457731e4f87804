// SPDX-License-Identifier: BSD-3-Clause
#include "rows_file.hpp"

#include "read_description.hpp"
#include "row_reader.hpp"
#include "schema.hpp"

#include <dynascope/error.hpp>

#include <algorithm>
#include <utility>

namespace dynascope {
namespace {

// Unit maps beyond this (512 MiB) are no image of a network but a broken file.
constexpr int64_t kLargestUnitMap = int64_t{1} << 26;

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ", ") + name;
  }
  return list.empty() ? "none" : list;
}

// stored (stored_shape...) -> full (shape...), row-major, axis by axis through the classes.
std::vector<double> expand(const NodeLayerInfo& layer, const std::vector<double>& stored) {
  const size_t rank = layer.shape.size();
  std::vector<size_t> index(rank, 0);
  std::vector<double> full(static_cast<size_t>(schema::product(layer.shape, layer.name)));
  for (double& value : full) {
    size_t position = 0;
    for (size_t axis = 0; axis < rank; ++axis) {
      const auto& classes = layer.classes[axis];
      const size_t coordinate = classes.empty() ? index[axis] : static_cast<size_t>(classes[index[axis]]);
      position = position * static_cast<size_t>(layer.stored_shape[axis]) + coordinate;
    }
    value = stored[position];
    for (size_t axis = rank; axis-- > 0 && ++index[axis] == static_cast<size_t>(layer.shape[axis]);) {
      index[axis] = 0;
    }
  }
  return full;
}

}  // namespace

RowsFile::RowsFile(const std::string& path, const FileKind& kind)
    : file_(path),
      kind_(kind),
      provenance_(read_provenance(file_, kind)),
      description_(read_description(file_, kind)),
      layout_(description_),
      in_progress_(file_.marked_open()),
      rows_(committed_rows(file_, kind)) {}

bool RowsFile::refresh() {
  if (!file_.live()) {
    return false;
  }
  // The mark first: a writer that closes in between has committed all before it took the mark away.
  in_progress_ = file_.marked_open();
  const uint64_t before = std::exchange(rows_, std::max(rows_, committed_rows(file_, kind_)));
  return rows_ > before;
}

std::vector<double> RowsFile::scalar(std::string_view key) const {
  const auto& keys = description_.scalars;
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
    file_.refuse("the " + std::string(kind_.whole) + " has no scalar '" + std::string(key) +
                 "' (it has: " + listed(keys) + ")");
  }
  return column<double>(kind_.scalar_path(key));
}

std::vector<double> RowsFile::read(std::string_view path, int64_t first, int64_t count) const {
  const std::string name(path);
  const std::vector<int64_t> shape = row_shape(name);
  if (first < 0 || count < 0 || first > rows() || count > rows() - first) {
    file_.refuse("rows " + std::to_string(first) + " to " + std::to_string(first + count) + " (exclusive) of " + name +
                 " are not all there; " + std::to_string(rows_) + " are committed");
  }
  const h5::InputFile::Dataset dataset = file_.open_rows(name, shape);
  return file_.read_rows<double>(dataset, static_cast<uint64_t>(first), static_cast<uint64_t>(count));
}

size_t RowsFile::node_layer(std::string_view name) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < description_.node_layers.size(); ++i) {
    names.push_back(description_.node_layers[i].name);
    if (names.back() == name) {
      return i;
    }
  }
  file_.refuse("the " + std::string(kind_.whole) + " has no node layer '" + std::string(name) +
               "' (it has: " + listed(names) + ")");
}

std::vector<double> RowsFile::unit_map(size_t position, int64_t row, std::string_view metric) const {
  const auto& layers = description_.node_layers;
  if (position >= layers.size()) {
    file_.refuse("there is no node layer " + std::to_string(position) + "; the " + kind_.whole + " has " +
                 std::to_string(layers.size()));
  }
  const NodeLayerInfo& layer = layers[position];
  if (const int64_t units = schema::product(layer.shape, layer.name); units > kLargestUnitMap) {
    file_.refuse("a map of the " + std::to_string(units) + " units of '" + layer.name +
                 "' is too large; the limit is " + std::to_string(kLargestUnitMap));
  }
  const std::string group = node_layer_path(position, layers.size(), layer.name);
  return expand(layer, read(group + "/" + std::string(metric), row, 1));
}

// Dimensions of one row of a per-row dataset.
std::vector<int64_t> RowsFile::row_shape(const std::string& path) const {
  if (const Span* span = layout_.find(path)) {
    return span->shape;
  }
  const auto& keys = description_.scalars;
  const bool known = !kind_.is_scalar(path) || std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
    return kind_.scalar_path(key) == path;
  });
  if (!known) {
    file_.refuse("the " + std::string(kind_.whole) + " has no per-row dataset " + path);
  }
  return {};
}

}  // namespace dynascope
