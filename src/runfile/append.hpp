// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"
#include "hdf5_handles.hpp"

#include <dynascope/population_file.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/sink.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dynascope {

/// Appends to datasets of a file that all grow by the same rows, of type R (Row or Member): one write per dataset and
/// batch.
template <class R>
class Appender {
 public:
  /// The per-row datasets of a file in single-writer mode.
  Appender(hid_t file, const RunDescription& description, const RowLayout& layout);

  /// Rows written so far.
  uint64_t rows() const noexcept { return rows_; }

  void append(const std::vector<R>& rows);

  /// Writes events, all but their codes; only where the file is of one training. A reader counts an event once its code
  /// is there, so the codes follow when the rest is flushed: append_codes.
  void append(const std::vector<Event>& events);
  void append_codes(const std::vector<Event>& events);

  /// Tells readers of all rows appended so far. Their data must have been flushed.
  void commit();

 private:
  struct Column {
    h5::Id dataset;
    std::string path;
    hid_t type;
    h5::Dims row;  ///< dimensions of one row
    size_t bytes;  ///< of one row
  };

  struct Events {
    h5::Id message_type;
    Column event, step, time, code, value, message;
  };

  static Events open_events(hid_t file);
  static Column open(hid_t file, const std::string& path, hid_t type, std::vector<int64_t> row, size_t element_bytes);
  template <class T>
  static Column open(hid_t file, const std::string& path);
  static void put(const Column& column, uint64_t first, uint64_t count, const void* values);
  template <class T, class List, class Get>
  static void put(const Column& column, uint64_t first, const List& list, Get get);
  void put_span(const Column& column, const Span& span, const std::vector<R>& rows);
  void put_index(const Column& column, const Field<R>& field, const std::vector<R>& rows);

  std::vector<Span> spans_;
  int64_t block_bytes_;
  std::vector<Column> columns_;
  std::vector<Column> scalars_;
  std::vector<Column> index_;
  std::optional<Events> event_columns_;
  h5::Id committed_;
  std::vector<std::byte> gathered_;
  uint64_t rows_ = 0;
  uint64_t events_ = 0;
};

}  // namespace dynascope
