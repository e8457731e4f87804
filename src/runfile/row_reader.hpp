// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"
#include "input_file.hpp"

#include <dynascope/population_file.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/sink.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dynascope {

/// Rows that readers may look at. @throws Error when the file has fewer
uint64_t committed_rows(const h5::InputFile& file, const FileKind& kind);

/// All events that are complete: those whose code is there, as the writer flushes the rest of an event before its code.
std::vector<Event> read_events(const h5::InputFile& file);

/// Reads rows of a file, of type R (Row or Member), as they are written, every value as it is in the file.
template <class R>
class RowReader {
 public:
  RowReader(const h5::InputFile& file, const RunDescription& description, const RowLayout& layout);

  /// Rows `first` to `first + count - 1`, valid until the next call.
  const std::vector<R>& rows(uint64_t first, uint64_t count);

  /// So many rows take a few megabytes, or are one.
  uint64_t rows_at_once() const noexcept;

 private:
  template <class T, class V>
  void index(const std::string& path, V R::*field, uint64_t first, uint64_t count);
  template <class T>
  void scatter(const Span& span, uint64_t first, uint64_t count);

  const h5::InputFile& file_;
  const std::vector<std::string> scalars_;
  const RowLayout layout_;
  std::vector<std::byte> blocks_;
  std::vector<R> rows_;
};

}  // namespace dynascope
