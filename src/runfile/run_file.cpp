// SPDX-License-Identifier: BSD-3-Clause
#include "in_file.hpp"
#include "row_reader.hpp"
#include "rows_file.hpp"

#include <dynascope/run_file.hpp>

#include <utility>

namespace dynascope {

class RunFile::Impl final : public RowsFile {
 public:
  explicit Impl(const std::string& path) : RowsFile(path, kind_of<Row>()) {}

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

  std::vector<Event> events() const { return read_events(file()); }
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
