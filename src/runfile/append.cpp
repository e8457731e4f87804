// SPDX-License-Identifier: BSD-3-Clause
#include "append.hpp"

#include "schema.hpp"

#include <dynascope/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace dynascope {
namespace {

// Rows of one dataset lie apart in their blocks; they are gathered into pieces of at most this, or one row.
constexpr size_t kGatherBytes = size_t{1} << 20;

hid_t memory_type(RowType type) {
  return type == RowType::kFloat32   ? h5::native<float>()
         : type == RowType::kFloat64 ? h5::native<double>()
                                     : h5::native<int64_t>();
}

double canonical(double value) { return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value + 0.0; }

// Never cuts inside a UTF-8 sequence.
size_t cut_length(const std::string& text, size_t limit) {
  if (text.size() <= limit) {
    return text.size();
  }
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0U) == 0x80U) {
    --limit;
  }
  return limit;
}

}  // namespace

template <class R>
typename Appender<R>::Column Appender<R>::open(hid_t file, const std::string& path, hid_t type,
                                               std::vector<int64_t> row, size_t element_bytes) {
  Column column{h5::open_to_append(file, path), path, type, {row.begin(), row.end()}, element_bytes};
  for (const int64_t size : row) {
    column.bytes *= static_cast<size_t>(size);
  }
  return column;
}

template <class R>
template <class T>
typename Appender<R>::Column Appender<R>::open(hid_t file, const std::string& path) {
  return open(file, path, h5::native<T>(), {}, sizeof(T));
}

template <class R>
typename Appender<R>::Events Appender<R>::open_events(hid_t file) {
  h5::Id type = h5::string_type(schema::kMessageBytes);
  Column message = open(file, "/events/message", type.get(), {}, schema::kMessageBytes);
  return {std::move(type),
          open<int64_t>(file, "/events/event"),
          open<int64_t>(file, "/events/step"),
          open<double>(file, "/events/time"),
          open<int32_t>(file, "/events/code"),
          open<double>(file, "/events/value"),
          std::move(message)};
}

template <class R>
Appender<R>::Appender(hid_t file, const RunDescription& description, const RowLayout& layout)
    : spans_(layout.spans()), block_bytes_(layout.bytes()), committed_(h5::open_dataset(file, "/committed")) {
  const FileKind& kind = kind_of<R>();
  for (const FileKind::Index& column : kind.index) {
    index_.push_back(column.type == Stored::kFloat64 ? open<double>(file, column.path)
                     : column.type == Stored::kUint8 ? open<uint8_t>(file, column.path)
                                                     : open<int64_t>(file, column.path));
  }
  if (kind.one_training) {
    event_columns_ = open_events(file);
  }
  for (const Span& span : spans_) {
    columns_.push_back(
        open(file, span.path, memory_type(span.type), span.shape, static_cast<size_t>(size_of(span.type))));
  }
  for (const std::string& key : description.scalars) {
    scalars_.push_back(open<double>(file, kind.scalar_path(key)));
  }
}

template <class R>
void Appender<R>::put(const Column& column, uint64_t first, uint64_t count, const void* values) {
  h5::Dims dims{first + count};
  dims.insert(dims.end(), column.row.begin(), column.row.end());
  h5::set_extent(column.dataset.get(), dims, column.path);
  if (column.bytes == 0) {
    return;
  }
  dims[0] = count;
  const h5::Id memory = h5::simple_space(dims, dims);
  const h5::Id place = h5::rows_of(column.dataset.get(), first, dims);
  h5::write(column.dataset.get(), column.type, memory.get(), place.get(), values, column.path);
}

template <class R>
template <class T, class List, class Get>
void Appender<R>::put(const Column& column, uint64_t first, const List& list, Get get) {
  std::vector<T> values;
  values.reserve(list.size());
  for (const auto& item : list) {
    values.push_back(get(item));
  }
  put(column, first, values.size(), values.data());
}

template <class R>
void Appender<R>::put_span(const Column& column, const Span& span, const std::vector<R>& rows) {
  const size_t piece = std::clamp<size_t>(kGatherBytes / std::max<size_t>(column.bytes, 1), 1, rows.size());
  for (size_t first = 0; first < rows.size(); first += piece) {
    const size_t count = std::min(piece, rows.size() - first);
    if (count == 1) {
      put(column, rows_ + first, 1, rows[first].values + span.offset);
      continue;
    }
    gathered_.resize(std::max(gathered_.size(), count * column.bytes));
    for (size_t i = 0; i < count && column.bytes > 0; ++i) {
      std::memcpy(gathered_.data() + i * column.bytes, rows[first + i].values + span.offset, column.bytes);
    }
    put(column, rows_ + first, count, gathered_.data());
  }
}

template <class R>
void Appender<R>::put_index(const Column& column, const Field<R>& field, const std::vector<R>& rows) {
  if (const auto* integer = std::get_if<int64_t R::*>(&field)) {
    put<int64_t>(column, rows_, rows, [&](const R& row) { return row.**integer; });
  } else if (const auto* number = std::get_if<double R::*>(&field)) {
    put<double>(column, rows_, rows, [&](const R& row) { return row.**number; });
  } else if (const auto* flag = std::get_if<bool R::*>(&field)) {
    put<uint8_t>(column, rows_, rows, [&](const R& row) { return uint8_t{row.**flag}; });
  } else {
    auto next = static_cast<int64_t>(rows_);
    put<int64_t>(column, rows_, rows, [&](const R&) { return next++; });
  }
}

template <class R>
void Appender<R>::append(const std::vector<R>& rows) {
  if (rows.empty()) {
    return;
  }
  for (const R& row : rows) {
    if (row.scalars.size() != scalars_.size() || (row.values == nullptr && block_bytes_ > 0)) {
      throw Error("a row of this " + std::string(kind_of<R>().whole) + " has " + std::to_string(scalars_.size()) +
                  " scalars and a block of values, got " + std::to_string(row.scalars.size()) + " scalars and " +
                  (row.values == nullptr ? "no block" : "a block"));
    }
  }
  for (size_t i = 0; i < index_.size(); ++i) {
    put_index(index_[i], fields_of<R>()[i], rows);
  }
  for (size_t i = 0; i < scalars_.size(); ++i) {
    put<double>(scalars_[i], rows_, rows, [i](const R& row) { return canonical(row.scalars[i]); });
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    put_span(columns_[i], spans_[i], rows);
  }
  rows_ += rows.size();
}

template <class R>
void Appender<R>::append(const std::vector<Event>& events) {
  if (events.empty()) {
    return;
  }
  int64_t next = static_cast<int64_t>(events_);
  put<int64_t>(event_columns_->event, events_, events, [&next](const Event&) { return next++; });
  put<int64_t>(event_columns_->step, events_, events, [](const Event& event) { return event.step; });
  put<double>(event_columns_->time, events_, events, [](const Event& event) { return event.time; });
  put<double>(event_columns_->value, events_, events, [](const Event& event) { return canonical(event.value); });
  std::vector<char> messages(events.size() * schema::kMessageBytes, '\0');
  for (size_t i = 0; i < events.size(); ++i) {
    const std::string& message = events[i].message;
    std::memcpy(messages.data() + i * schema::kMessageBytes, message.data(),
                cut_length(message, schema::kMessageBytes));
  }
  put(event_columns_->message, events_, events.size(), messages.data());
}

template <class R>
void Appender<R>::append_codes(const std::vector<Event>& events) {
  if (events.empty()) {
    return;
  }
  put<int32_t>(event_columns_->code, events_, events,
               [](const Event& event) { return static_cast<int32_t>(event.code); });
  events_ += events.size();
}

template <class R>
void Appender<R>::commit() {
  h5::write(committed_.get(), h5::native<uint64_t>(), H5S_ALL, H5S_ALL, &rows_, "/committed");
}

template class Appender<Row>;
template class Appender<Member>;

}  // namespace dynascope
