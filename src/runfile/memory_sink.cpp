// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/error.hpp>
#include <dynascope/memory_sink.hpp>

#include <cstring>
#include <string>

namespace dynascope {
namespace {

template <class T>
std::vector<double> as_doubles(const std::byte* from, int64_t count) {
  std::vector<T> typed(static_cast<size_t>(count));
  if (count > 0) {
    std::memcpy(typed.data(), from, typed.size() * sizeof(T));
  }
  return {typed.begin(), typed.end()};
}

template <>
std::vector<double> as_doubles<int64_t>(const std::byte* from, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    int64_t value = 0;
    std::memcpy(&value, from + i * sizeof value, sizeof value);
    values[i] = static_cast<double>(value);
  }
  return values;
}

}  // namespace

MemorySink::MemorySink() = default;
MemorySink::~MemorySink() = default;

void MemorySink::open(const RunDescription& description, const RowLayout& layout) {
  description_ = description;
  layout_ = layout;
  rows_.clear();
  blocks_.clear();
  events_.clear();
}

void MemorySink::write(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    if (row.values == nullptr && layout_.bytes() > 0) {
      throw Error("a row needs " + std::to_string(layout_.bytes()) + " bytes of values, got none");
    }
    blocks_.emplace_back(row.values, row.values + layout_.bytes());
    rows_.push_back(row);
    rows_.back().values = blocks_.back().data();
  }
}

void MemorySink::write(const Event& event) { events_.push_back(event); }

std::vector<double> MemorySink::values(size_t row, std::string_view path) const {
  if (row >= rows_.size()) {
    throw Error("there is no row " + std::to_string(row) + "; " + std::to_string(rows_.size()) + " were written");
  }
  const Span& span = layout_.at(path);
  const std::byte* from = rows_[row].values + span.offset;
  switch (span.type) {
    case RowType::kFloat32:
      return as_doubles<float>(from, span.count);
    case RowType::kInt64:
      return as_doubles<int64_t>(from, span.count);
    case RowType::kFloat64:
      break;
  }
  return as_doubles<double>(from, span.count);
}

}  // namespace dynascope
