// SPDX-License-Identifier: BSD-3-Clause
#include "row_reader.hpp"

#include "schema.hpp"

#include <algorithm>
#include <cstring>

namespace dynascope {

uint64_t committed_rows(const h5::InputFile& file, const FileKind& kind) {
  // A reader of a growing file may meet a number of which half is written.
  uint64_t rows = file.read_all<uint64_t>("/committed", 0)[0];
  for (uint64_t again = rows + 1; file.live() && again != rows;) {
    again = std::exchange(rows, file.read_all<uint64_t>("/committed", 0)[0]);
  }
  const h5::InputFile::Dataset scale = file.open_rows(kind.scale(), {});
  if (rows > scale.dims[0]) {
    file.refuse("/committed says " + std::to_string(rows) + " rows, but " + kind.scale() + " has " +
                std::to_string(scale.dims[0]));
  }
  return rows;
}

std::vector<Event> read_events(const h5::InputFile& file) {
  const h5::InputFile::Dataset coded = file.open_rows("/events/code", {});
  const auto codes = file.read_rows<int32_t>(coded, 0, coded.dims[0]);
  const auto end = std::find_if(codes.begin(), codes.end(), [](int32_t code) { return code < 1; });
  const auto count = static_cast<uint64_t>(end - codes.begin());
  const auto step = file.read_rows<int64_t>(file.open_rows("/events/step", {}), 0, count);
  const auto time = file.read_rows<double>(file.open_rows("/events/time", {}), 0, count);
  const auto value = file.read_rows<double>(file.open_rows("/events/value", {}), 0, count);
  const auto message = file.read_strings(file.open("/events/message"), count);
  std::vector<Event> events;
  for (size_t i = 0; i < count; ++i) {
    events.push_back({step[i], time[i], static_cast<EventCode>(codes[i]), value[i], message[i]});
  }
  return events;
}

template <class R>
RowReader<R>::RowReader(const h5::InputFile& file, const RunDescription& description, const RowLayout& layout)
    : file_(file), scalars_(description.scalars), layout_(layout) {}

template <class R>
uint64_t RowReader<R>::rows_at_once() const noexcept {
  constexpr int64_t kBytes = int64_t{4} << 20;
  return static_cast<uint64_t>(std::clamp<int64_t>(kBytes / std::max<int64_t>(layout_.bytes(), 1), 1, 4096));
}

template <class R>
template <class T, class V>
void RowReader<R>::index(const std::string& path, V R::*field, uint64_t first, uint64_t count) {
  const auto values = file_.read_rows<T>(file_.open_rows(path, {}), first, count);
  for (size_t i = 0; i < count; ++i) {
    rows_[i].*field = static_cast<V>(values[i]);
  }
}

template <class R>
template <class T>
void RowReader<R>::scatter(const Span& span, uint64_t first, uint64_t count) {
  const auto values = file_.read_rows<T>(file_.open_rows(span.path, span.shape), first, count);
  const size_t bytes = static_cast<size_t>(span.count) * sizeof(T);
  for (size_t row = 0; row < count && bytes > 0; ++row) {
    std::memcpy(blocks_.data() + row * static_cast<size_t>(layout_.bytes()) + span.offset,
                values.data() + row * static_cast<size_t>(span.count), bytes);
  }
}

template <class R>
const std::vector<R>& RowReader<R>::rows(uint64_t first, uint64_t count) {
  blocks_.assign(count * static_cast<size_t>(layout_.bytes()), std::byte{0});
  rows_.assign(count, R{});
  const FileKind& kind = kind_of<R>();
  for (size_t i = 0; i < kind.index.size(); ++i) {
    const Field<R>& field = fields_of<R>()[i];
    if (const auto* integer = std::get_if<int64_t R::*>(&field)) {
      index<int64_t>(kind.index[i].path, *integer, first, count);
    } else if (const auto* number = std::get_if<double R::*>(&field)) {
      index<double>(kind.index[i].path, *number, first, count);
    } else if (const auto* flag = std::get_if<bool R::*>(&field)) {
      index<uint8_t>(kind.index[i].path, *flag, first, count);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    rows_[i].values = blocks_.data() + i * static_cast<size_t>(layout_.bytes());
  }
  for (const std::string& key : scalars_) {
    const auto values = file_.read_rows<double>(file_.open_rows(kind.scalar_path(key), {}), first, count);
    for (size_t i = 0; i < count; ++i) {
      rows_[i].scalars.push_back(values[i]);
    }
  }
  for (const Span& span : layout_.spans()) {
    switch (span.type) {
      case RowType::kFloat32:
        scatter<float>(span, first, count);
        break;
      case RowType::kFloat64:
        scatter<double>(span, first, count);
        break;
      case RowType::kInt64:
        scatter<int64_t>(span, first, count);
        break;
    }
  }
  return rows_;
}

template class RowReader<Row>;
template class RowReader<Member>;

}  // namespace dynascope
