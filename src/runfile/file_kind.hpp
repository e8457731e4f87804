// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// Run file and population file differ in what a row is: a snapshot of one network in training, or one network of many
// at one epoch. All else (layers, graph, metrics, the commit rule) is the same, and so is the code: what writes, reads
// and checks a file is told the kind. Two schemas with a writer each would have been two places for every metric; a
// population as a run with other scalars would have had a dimension `step` that does not rise.
namespace dynascope {

enum class Stored { kFloat32, kFloat64, kUint8, kInt32, kInt64, kUint64, kText, kFloat };  // kFloat: either

struct FileKind {
  /// One dataset that tells what each row is.
  struct Index {
    std::string path;
    Stored type;
    std::string long_name, units;
  };

  const char* schema;    ///< attribute `schema`
  const char* version;   ///< attribute `schema_version`
  const char* name;      ///< in messages: "run file"
  const char* whole;     ///< what one file tells of: "run"
  const char* document;  ///< where its rules are written
  const char* scalars;   ///< group of the user's values
  bool one_training;     ///< with parameters and events
  /// The first name of the scale, or null. netCDF looks for a scale in a dataset's own group and in those around it:
  /// one that lies in a group needs a name in "/" too, and h5netcdf goes by the one that was made first.
  const char* scale_in_root;
  std::vector<Index> index;

  /// The dimension scale of every axis of rows.
  const std::string& scale() const { return index.front().path; }
  std::string scalar_path(std::string_view key) const;
  bool has_index_in(std::string_view group) const;
  /// Whether a dataset in the group of scalars is one.
  bool is_scalar(const std::string& path) const;
};

/// Where a value of the index stands in a Row or Member; nothing for the position in the file.
template <class R>
using Field = std::variant<std::monostate, int64_t R::*, double R::*, bool R::*>;

/// For Row and Member: their kind of file, and the fields of `FileKind::index` in its order.
template <class R>
const FileKind& kind_of();
template <class R>
const std::vector<Field<R>>& fields_of();

/// By the attribute `schema`; null for neither.
const FileKind* find_kind(std::string_view schema);

/// "/nodes" of "/nodes/layer".
std::string_view group_of(std::string_view path);

}  // namespace dynascope
