// SPDX-License-Identifier: BSD-3-Clause
#include "hdf5_handles.hpp"
#include "in_file.hpp"
#include "input_file.hpp"
#include "read_description.hpp"
#include "row_reader.hpp"
#include "schema.hpp"

#include <dynascope/error.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_file.hpp>

#include <algorithm>
#include <utility>

namespace dynascope {
namespace {

// Unit maps beyond this (512 MiB) are no image of a network but a broken file.
constexpr int64_t kLargestUnitMap = int64_t{1} << 26;

constexpr std::string_view kRowPaths[] = {"/step", "/epoch", "/epoch_end", "/time", "/cost/snapshot", "/cost/dropped"};

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

class RunFile::Impl {
 public:
  explicit Impl(const std::string& path)
      : file_(path),
        provenance_(read_provenance(file_)),
        description_(read_description(file_)),
        layout_(description_),
        in_progress_(file_.marked_open()),
        rows_(committed_rows(file_)) {}

  const std::string& path() const { return file_.path(); }
  const RunDescription& description() const { return description_; }
  const RunProvenance& provenance() const { return provenance_; }
  int64_t rows() const { return static_cast<int64_t>(rows_); }
  bool in_progress() const { return in_progress_; }
  bool has_writer() const { return file_.marked_open() && file_.has_writer(); }

  bool refresh() {
    if (!file_.live()) {
      return false;
    }
    // The mark first: a writer that closes in between has committed all before it took the mark away.
    in_progress_ = file_.marked_open();
    const uint64_t before = std::exchange(rows_, std::max(rows_, committed_rows(file_)));
    return rows_ > before;
  }

  RunRows row_index() const {
    RunRows rows;
    rows.step = column<int64_t>("/step");
    rows.epoch = column<int64_t>("/epoch");
    for (const uint8_t end : column<uint8_t>("/epoch_end")) {
      rows.epoch_end.push_back(end != 0);
    }
    rows.time = column<double>("/time");
    rows.snapshot_seconds = column<double>("/cost/snapshot");
    rows.dropped = column<int64_t>("/cost/dropped");
    return rows;
  }

  std::vector<Event> events() const { return read_events(file_); }

  std::vector<double> scalar(std::string_view key) const {
    const auto& keys = description_.scalars;
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      file_.refuse("the run has no scalar '" + std::string(key) + "' (it has: " + listed(keys) + ")");
    }
    return column<double>(schema::scalar_path(key));
  }

  std::vector<double> read(std::string_view path, int64_t first, int64_t count) const {
    const std::string name(path);
    const std::vector<int64_t> shape = row_shape(name);
    if (first < 0 || count < 0 || first > rows() || count > rows() - first) {
      file_.refuse("rows " + std::to_string(first) + " to " + std::to_string(first + count) + " (exclusive) of " +
                   name + " are not all there; " + std::to_string(rows_) + " are committed");
    }
    const h5::InputFile::Dataset dataset = file_.open_rows(name, shape);
    return file_.read_rows<double>(dataset, static_cast<uint64_t>(first), static_cast<uint64_t>(count));
  }

  size_t node_layer(std::string_view name) const {
    std::vector<std::string> names;
    for (size_t i = 0; i < description_.node_layers.size(); ++i) {
      names.push_back(description_.node_layers[i].name);
      if (names.back() == name) {
        return i;
      }
    }
    file_.refuse("the run has no node layer '" + std::string(name) + "' (it has: " + listed(names) + ")");
  }

  std::vector<double> unit_map(size_t position, int64_t row, std::string_view metric) const {
    const auto& layers = description_.node_layers;
    if (position >= layers.size()) {
      file_.refuse("there is no node layer " + std::to_string(position) + "; the run has " +
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

 private:
  template <class T>
  std::vector<T> column(const std::string& path) const {
    return file_.read_rows<T>(file_.open_rows(path, {}), 0, rows_);
  }

  // Dimensions of one row of a per-row dataset.
  std::vector<int64_t> row_shape(const std::string& path) const {
    if (const Span* span = layout_.find(path)) {
      return span->shape;
    }
    const bool known = std::find(std::begin(kRowPaths), std::end(kRowPaths), path) != std::end(kRowPaths) ||
                       std::any_of(description_.scalars.begin(), description_.scalars.end(),
                                   [&](const std::string& key) { return schema::scalar_path(key) == path; });
    if (!known) {
      file_.refuse("the run has no per-row dataset " + path);
    }
    return {};
  }

  h5::InputFile file_;
  RunProvenance provenance_;
  RunDescription description_;
  RowLayout layout_;
  bool in_progress_;
  uint64_t rows_;
};

RunFile::RunFile(const std::string& path) : impl_(in_file(path, [&] { return std::make_unique<Impl>(path); })) {}

RunFile::~RunFile() {
  const h5::Silence silence;
  impl_.reset();
}

RunFile::RunFile(RunFile&&) noexcept = default;
RunFile& RunFile::operator=(RunFile&&) noexcept = default;

const RunDescription& RunFile::description() const noexcept { return impl_->description(); }
const RunProvenance& RunFile::provenance() const noexcept { return impl_->provenance(); }
int64_t RunFile::rows() const noexcept { return impl_->rows(); }
bool RunFile::in_progress() const noexcept { return impl_->in_progress(); }

bool RunFile::has_writer() const { return impl_->has_writer(); }

bool RunFile::refresh() {
  return in_file(impl_->path(), [&] { return impl_->refresh(); });
}

RunRows RunFile::row_index() const {
  return in_file(impl_->path(), [&] { return impl_->row_index(); });
}

std::vector<Event> RunFile::events() const {
  return in_file(impl_->path(), [&] { return impl_->events(); });
}

std::vector<double> RunFile::scalar(std::string_view key) const {
  return in_file(impl_->path(), [&] { return impl_->scalar(key); });
}

std::vector<double> RunFile::read(std::string_view path, int64_t first, int64_t count) const {
  return in_file(impl_->path(), [&] { return impl_->read(path, first, count); });
}

size_t RunFile::node_layer(std::string_view name) const { return impl_->node_layer(name); }

std::vector<double> RunFile::unit_map(size_t layer, int64_t row, std::string_view metric) const {
  return in_file(impl_->path(), [&] { return impl_->unit_map(layer, row, metric); });
}

}  // namespace dynascope
