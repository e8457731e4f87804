// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/sink.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

namespace dynascope {

/// Keeps rows in memory: for tests, notebooks and networks too short-lived for a file.
///
/// Read it after on_train_end, or between two calls of the monitor once `status().rows_written` says so.
class DYNASCOPE_RUNFILE_API MemorySink final : public Sink {
 public:
  MemorySink();
  ~MemorySink() override;
  MemorySink(const MemorySink&) = delete;
  MemorySink& operator=(const MemorySink&) = delete;

  void open(const RunDescription& description, const RowLayout& layout) override;
  void write(const std::vector<Row>& rows) override;
  void write(const Event& event) override;

  const RunDescription& description() const noexcept { return description_; }
  const RowLayout& layout() const noexcept { return layout_; }

  /// Rows written so far; `values` of each points into this sink.
  const std::vector<Row>& rows() const noexcept { return rows_; }
  const std::vector<Event>& events() const noexcept { return events_; }

  /// Values of one dataset in one row, as doubles.
  /// @param row   position of the row, 0 = before training
  /// @param path  dataset path, for example "/nodes/fluctuation"
  /// @throws Error when there is no such row or dataset
  std::vector<double> values(size_t row, std::string_view path) const;

 private:
  RunDescription description_;
  RowLayout layout_;
  std::vector<Row> rows_;
  std::vector<std::vector<std::byte>> blocks_;
  std::vector<Event> events_;
};

}  // namespace dynascope
