// SPDX-License-Identifier: BSD-3-Clause
#include "array_writer.hpp"

#include "run_view.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

namespace dynascope::cli {
namespace {

// The shortest text that reads back as the same double. A float32 is written as the double that it is, so that it is
// equal to the file's value for a reader who knows nothing of its type.
template <class T>
void append(std::string& text, T value) {
  char buffer[32];
  text.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

void append_value(std::string& text, double value, RowType type, std::string_view not_finite) {
  if (!std::isfinite(value) && !not_finite.empty()) {
    text += not_finite;
  } else if (type == RowType::kInt64) {
    append(text, static_cast<int64_t>(value));
  } else if (std::isfinite(value)) {
    append(text, value);
  } else {
    text += std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }
}

class CsvWriter final : public ArrayWriter {
 public:
  CsvWriter(const ExportedRows& rows, const Exported& what, TargetFile& to)
      : rows_(rows), what_(what), to_(to), count_(values_per_row(what)) {
    line_ = "row,epoch,step,epoch_end,time";
    for (int64_t i = 0; i < count_; ++i) {
      line_ += ',';
      what.names.empty() ? append_place(i) : append_quoted(what.names[static_cast<size_t>(i)]);
      end_of_cell();
    }
    end_of_line();
  }

  void row(const double* values) override {
    const auto at = static_cast<size_t>(rows_.rows[done_++]);
    append(line_, at);
    for (const int64_t key :
         {rows_.index.epoch[at], rows_.index.step[at], static_cast<int64_t>(rows_.index.epoch_end[at])}) {
      line_ += ',';
      append(line_, key);
    }
    line_ += ',';
    append_value(line_, rows_.index.time[at], RowType::kFloat64, "");
    for (int64_t i = 0; i < count_; ++i) {
      line_ += ',';
      append_value(line_, values[i], what_.type, "");
      end_of_cell();
    }
    end_of_line();
  }

 private:
  // "0:3:5", by axis.
  void append_place(int64_t i) {
    int64_t below = count_;
    for (size_t axis = 0; axis < what_.axes.size(); ++axis) {
      below /= what_.axes[axis];
      line_ += axis > 0 ? ":" : "";
      append(line_, i / below % what_.axes[axis]);
    }
  }

  // As RFC 4180 says.
  void append_quoted(const std::string& name) {
    if (name.find_first_of(",\"\r\n") == std::string::npos) {
      line_ += name;
      return;
    }
    line_ += '"';
    for (const char c : name) {
      line_ += c == '"' ? "\"\"" : std::string(1, c);
    }
    line_ += '"';
  }

  void end_of_cell() {
    if (line_.size() > (size_t{1} << 16)) {
      to_.write(line_);
      line_.clear();
    }
  }
  void end_of_line() {
    line_ += '\n';
    to_.write(line_);
    line_.clear();
  }

  const ExportedRows& rows_;
  const Exported& what_;
  TargetFile& to_;
  int64_t count_;
  size_t done_ = 0;
  std::string line_;
};

class NpyWriter final : public ArrayWriter {
 public:
  NpyWriter(const ExportedRows& rows, const Exported& what, TargetFile& to)
      : type_(what.type), to_(to), count_(values_per_row(what)) {
    std::string header = "{'descr': '<";
    header += type_ == RowType::kFloat32 ? "f4" : type_ == RowType::kFloat64 ? "f8" : "i8";
    header += "', 'fortran_order': False, 'shape': (" + std::to_string(rows.rows.size()) + ",";
    for (const int64_t size : what.axes) {
      header += " " + std::to_string(size) + ",";
    }
    header += "), }";
    // Version 1.0: magic, version, length of what follows, padded to a multiple of 64 with its newline.
    constexpr size_t kBefore = 10;
    header.append(63 - (kBefore + header.size()) % 64, ' ');
    header += '\n';
    const char length[] = {static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
    to_.write(std::string("\x93NUMPY\x01\x00", 8) + std::string(length, 2) + header);
  }

  void row(const double* values) override {
    bytes_.clear();
    for (int64_t i = 0; i < count_; ++i) {
      if (type_ == RowType::kFloat32) {
        add(static_cast<float>(values[i]));
      } else if (type_ == RowType::kFloat64) {
        add(values[i]);
      } else {
        add(static_cast<int64_t>(values[i]));
      }
    }
    to_.write(bytes_);
  }

 private:
  template <class T>
  void add(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes_.append(raw, sizeof value);
  }

  RowType type_;
  TargetFile& to_;
  int64_t count_;
  std::string bytes_;
};

class JsonWriter final : public ArrayWriter {
 public:
  JsonWriter(const ExportedRows& rows, const Exported& what, TargetFile& to) : what_(what), to_(to) {
    nlohmann::ordered_json head{{"run", rows.path}, {"metric", what.dataset.substr(1)}, {"layers", what.layers}};
    std::vector<int64_t> shape{static_cast<int64_t>(rows.rows.size())};
    shape.insert(shape.end(), what.axes.begin(), what.axes.end());
    head["shape"] = shape;
    add_row_keys(head, rows.index, rows.rows);
    std::string text = head.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    text.back() = ',';
    to_.write(text + "\"values\":[");
  }

  void row(const double* values) override {
    text_ = done_++ == 0 ? "\n" : ",\n";
    append_axis(0, values);
    to_.write(text_);
  }

  void finish() override { to_.write("]}\n"); }

 private:
  const double* append_axis(size_t axis, const double* values) {
    if (axis == what_.axes.size()) {
      append_value(text_, *values, what_.type, "null");
      return values + 1;
    }
    text_ += '[';
    for (int64_t i = 0; i < what_.axes[axis]; ++i) {
      text_ += i == 0 ? "" : ",";
      values = append_axis(axis + 1, values);
    }
    text_ += ']';
    return values;
  }

  const Exported& what_;
  TargetFile& to_;
  size_t done_ = 0;
  std::string text_;
};

}  // namespace

std::unique_ptr<ArrayWriter> make_writer(const std::string& format, const ExportedRows& rows, const Exported& what,
                                         TargetFile& to) {
  if (format == "npy") {
    return std::make_unique<NpyWriter>(rows, what, to);
  }
  if (format == "json") {
    return std::make_unique<JsonWriter>(rows, what, to);
  }
  return std::make_unique<CsvWriter>(rows, what, to);
}

}  // namespace dynascope::cli
