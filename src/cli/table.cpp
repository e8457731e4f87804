// SPDX-License-Identifier: BSD-3-Clause
#include "table.hpp"

#include "format.hpp"

#include <algorithm>

namespace dynascope::cli {
namespace {

constexpr size_t kGap = 2;

}  // namespace

void Table::row(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    columns_[i].cells.push_back(cells.at(i));
  }
}

size_t Table::width(size_t column) const {
  size_t width = display_width(columns_[column].title);
  for (const auto& cell : columns_[column].cells) {
    width = std::max(width, display_width(cell));
  }
  return footer_.empty() ? width : std::max(width, display_width(footer_[column]));
}

std::vector<std::vector<size_t>> Table::fold(size_t keys, size_t limit) const {
  std::vector<size_t> begin;
  size_t begin_width = 0;
  for (size_t i = 0; i < std::min(keys, columns_.size()); ++i) {
    begin.push_back(i);
    begin_width += width(i) + kGap;
  }
  std::vector<std::vector<size_t>> blocks{begin};
  size_t used = begin_width;
  for (size_t i = begin.size(); i < columns_.size(); ++i) {
    const size_t needed = width(i) + kGap;
    if (limit > 0 && used + needed > limit + kGap && blocks.back().size() > begin.size()) {
      blocks.push_back(begin);
      used = begin_width;
    }
    blocks.back().push_back(i);
    used += needed;
  }
  return blocks;
}

std::string Table::padded(const std::string& text, size_t column, bool last) const {
  const std::string space(width(column) - display_width(text), ' ');
  if (columns_[column].align == Align::kRight) {
    return space + text;
  }
  return last ? text : text + space;
}

void Table::print(std::ostream& out, bool color, size_t keys, size_t limit) const {
  const auto blocks = fold(keys, limit);
  for (size_t b = 0; b < blocks.size(); ++b) {
    out << (b > 0 ? "\n" : "");
    const auto line = [&](const auto& cell) {
      std::string text;
      for (const size_t i : blocks[b]) {
        text += (text.empty() ? "" : std::string(kGap, ' ')) + padded(cell(i), i, i == blocks[b].back());
      }
      return text;
    };
    out << bold(line([&](size_t i) { return columns_[i].title; }), color) << '\n';
    for (size_t r = 0; r < columns_.front().cells.size(); ++r) {
      out << line([&](size_t i) { return columns_[i].cells[r]; }) << '\n';
    }
    if (!footer_.empty()) {
      out << dim(line([&](size_t i) { return footer_[i]; }), color) << '\n';
    }
  }
}

}  // namespace dynascope::cli
