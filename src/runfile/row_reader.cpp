// SPDX-License-Identifier: BSD-3-Clause
#include "row_reader.hpp"

#include "schema.hpp"

#include <algorithm>
#include <cstring>

namespace dynascope {

uint64_t committed_rows(const h5::InputFile& file) {
  // A reader of a growing file may meet a number of which half is written.
  uint64_t rows = file.read_all<uint64_t>("/committed", 0)[0];
  for (uint64_t again = rows + 1; file.live() && again != rows;) {
    again = std::exchange(rows, file.read_all<uint64_t>("/committed", 0)[0]);
  }
  const h5::InputFile::Dataset step = file.open_rows("/step", {});
  if (rows > step.dims[0]) {
    file.refuse("/committed says " + std::to_string(rows) + " rows, but /step has " + std::to_string(step.dims[0]));
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

RowReader::RowReader(const h5::InputFile& file, const RunDescription& description, const RowLayout& layout)
    : file_(file), scalars_(description.scalars), layout_(layout) {}

uint64_t RowReader::rows_at_once() const noexcept {
  constexpr int64_t kBytes = int64_t{4} << 20;
  return static_cast<uint64_t>(std::clamp<int64_t>(kBytes / std::max<int64_t>(layout_.bytes(), 1), 1, 4096));
}

template <class T>
std::vector<T> RowReader::column(const std::string& path, uint64_t first, uint64_t count) const {
  return file_.read_rows<T>(file_.open_rows(path, {}), first, count);
}

template <class T>
void RowReader::scatter(const Span& span, uint64_t first, uint64_t count) {
  const auto values = file_.read_rows<T>(file_.open_rows(span.path, span.shape), first, count);
  const size_t bytes = static_cast<size_t>(span.count) * sizeof(T);
  for (size_t row = 0; row < count && bytes > 0; ++row) {
    std::memcpy(blocks_.data() + row * static_cast<size_t>(layout_.bytes()) + span.offset,
                values.data() + row * static_cast<size_t>(span.count), bytes);
  }
}

const std::vector<Row>& RowReader::rows(uint64_t first, uint64_t count) {
  blocks_.assign(count * static_cast<size_t>(layout_.bytes()), std::byte{0});
  rows_.assign(count, Row{});
  const auto step = column<int64_t>("/step", first, count);
  const auto epoch = column<int64_t>("/epoch", first, count);
  const auto end = column<uint8_t>("/epoch_end", first, count);
  const auto time = column<double>("/time", first, count);
  const auto snapshot = column<double>("/cost/snapshot", first, count);
  const auto dropped = column<int64_t>("/cost/dropped", first, count);
  for (size_t i = 0; i < count; ++i) {
    rows_[i] = {step[i],     epoch[i],   end[i] != 0, time[i],
                snapshot[i], dropped[i], {},          blocks_.data() + i * static_cast<size_t>(layout_.bytes())};
  }
  for (const std::string& key : scalars_) {
    const auto values = column<double>(schema::scalar_path(key), first, count);
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

}  // namespace dynascope
