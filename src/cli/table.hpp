// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

namespace dynascope::cli {

enum class Align { kLeft, kRight };

/// A text table: a header line, then one line per row; columns as wide as their widest cell, two spaces between.
///
/// The same text on a terminal and in a pipe, apart from colour and folding, so that awk reads what people read.
class Table {
 public:
  void column(std::string title, Align align) { columns_.push_back({std::move(title), align, {}}); }

  /// Adds one cell to each column, in order.
  void row(const std::vector<std::string>& cells);

  /// A dimmed last line: one cell per column.
  void footer(std::vector<std::string> cells) { footer_ = std::move(cells); }

  bool empty() const { return columns_.empty() || columns_.front().cells.empty(); }

  /// Width of a column's cells.
  size_t width(size_t column) const;

  /// Prints the table. Where it is wider than `width`, columns are folded into several tables below each other, each
  /// beginning with the first `keys` columns; 0 never folds.
  void print(std::ostream& out, bool color, size_t keys = 1, size_t width = 0) const;

 private:
  struct Column {
    std::string title;
    Align align;
    std::vector<std::string> cells;
  };

  std::vector<std::vector<size_t>> fold(size_t keys, size_t width) const;
  std::string padded(const std::string& text, size_t column, bool last) const;

  std::vector<Column> columns_;
  std::vector<std::string> footer_;
};

}  // namespace dynascope::cli
