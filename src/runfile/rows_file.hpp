// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"
#include "input_file.hpp"

#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/run_file.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope {

/// A file of rows, opened for reading: what RunFile and PopulationFile have in common. Their headers tell what each
/// call promises.
class RowsFile {
 public:
  RowsFile(const std::string& path, const FileKind& kind);

  const std::string& path() const { return file_.path(); }
  const h5::InputFile& file() const { return file_; }
  const RunDescription& description() const { return description_; }
  const RunProvenance& provenance() const { return provenance_; }
  int64_t rows() const { return static_cast<int64_t>(rows_); }
  bool in_progress() const { return in_progress_; }
  bool has_writer() const { return file_.marked_open() && file_.has_writer(); }

  bool refresh();

  /// One number per row.
  template <class T>
  std::vector<T> column(const std::string& path) const {
    return file_.read_rows<T>(file_.open_rows(path, {}), 0, rows_);
  }
  std::vector<double> scalar(std::string_view key) const;
  std::vector<double> read(std::string_view path, int64_t first, int64_t count) const;
  size_t node_layer(std::string_view name) const;
  std::vector<double> unit_map(size_t position, int64_t row, std::string_view metric) const;

 private:
  std::vector<int64_t> row_shape(const std::string& path) const;

  h5::InputFile file_;
  const FileKind& kind_;
  RunProvenance provenance_;
  RunDescription description_;
  RowLayout layout_;
  bool in_progress_;
  uint64_t rows_;
};

}  // namespace dynascope
