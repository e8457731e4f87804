// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/run_description.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope {

/// Element types of a row.
enum class RowType { kFloat32, kFloat64, kInt64 };

constexpr int64_t size_of(RowType type) { return type == RowType::kFloat32 ? 4 : 8; }

/// A named run of values inside a row: one row of one dataset of the run file.
struct Span {
  std::string path;  ///< the dataset's path in the run file, for example "/nodes/fluctuation"
  RowType type = RowType::kFloat64;
  std::vector<int64_t> shape;  ///< of one row; the dataset has a leading row axis before it
  int64_t offset = 0;          ///< bytes from the start of the block, a multiple of 8
  int64_t count = 0;           ///< values: the product of `shape`
};

/// What one row holds and where: all values that a backend measures, in one contiguous block.
///
/// A backend fills the block, one copy brings it to the host, a sink scatters it span by span without knowing what the
/// spans mean. A new metric is a new span.
class DYNASCOPE_RUNFILE_API RowLayout {
 public:
  RowLayout() = default;

  /// The layout of docs/run-file.md for `description`: `/nodes/...`, `/links/...` and `/parameters/...`, in this order.
  /// @throws Error when two parts would have one path, or a shape is out of bounds
  explicit RowLayout(const RunDescription& description);

  /// Size of a block in bytes, a multiple of 8.
  int64_t bytes() const noexcept { return bytes_; }

  /// All spans, by offset.
  const std::vector<Span>& spans() const noexcept { return spans_; }

  /// The span of a dataset.
  /// @throws Error when the layout has no such span (says which path)
  const Span& at(std::string_view path) const;

  /// The span of a dataset, or null.
  const Span* find(std::string_view path) const noexcept;

 private:
  void add(std::string path, RowType type, std::vector<int64_t> shape);

  std::vector<Span> spans_;
  std::map<std::string, size_t, std::less<>> positions_;  // path -> position in spans_
  int64_t bytes_ = 0;
};

/// Group of the `position`-th node layer, for example "/nodes/003_layer1.0.conv2". A "/" in the name becomes "%2F";
/// positions are padded to three digits, or to as many as the last of `count` layers needs.
DYNASCOPE_RUNFILE_API std::string node_layer_path(size_t position, size_t count, std::string_view name);

/// Group of the `position`-th weight layer, for example "/links/003_fc1.weight".
DYNASCOPE_RUNFILE_API std::string weight_layer_path(size_t position, size_t count, std::string_view name);

/// "%2F" for "/": a name as it stands in paths of the run file.
DYNASCOPE_RUNFILE_API std::string escape_name(std::string_view name);

}  // namespace dynascope
