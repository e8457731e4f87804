// SPDX-License-Identifier: BSD-3-Clause
#include "file_kind.hpp"

#include <dynascope/population_file.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/sink.hpp>

#include <algorithm>
#include <array>

namespace dynascope {
namespace {

template <class R>
struct Column {
  const char* path;
  Field<R> field;
  const char* long_name;
  const char* units;
};

const std::array<Column<Row>, 6> kRunIndex{{
    {"/step", &Row::step, "optimizer steps done; 0 = before training", "1"},
    {"/epoch", &Row::epoch, "epoch under way or closed by the row; 0 = before training", "1"},
    {"/epoch_end", &Row::epoch_end, "1 where the row closes an epoch, and in row 0", "1"},
    {"/time", &Row::time, "seconds since training began", "s"},
    {"/cost/snapshot", &Row::snapshot_seconds, "seconds that the snapshot took", "s"},
    {"/cost/dropped", &Row::dropped, "rows dropped before this one", "1"},
}};

const std::array<Column<Member>, 5> kPopulationIndex{{
    {"/member/member", std::monostate{}, "member: one network at one epoch", "1"},
    {"/member/net", &Member::net, "number of the network", "1"},
    {"/member/epoch", &Member::epoch, "epochs done; 0 = before training", "1"},
    {"/member/step", &Member::step, "optimizer steps done", "1"},
    {"/member/seed", &Member::seed, "what the network's random choices began with", "1"},
}};

template <class R, size_t N>
std::vector<FileKind::Index> index_of(const std::array<Column<R>, N>& columns) {
  constexpr Stored kTypes[] = {Stored::kInt64, Stored::kInt64, Stored::kFloat64, Stored::kUint8};
  std::vector<FileKind::Index> index;
  for (const Column<R>& column : columns) {
    index.push_back({column.path, kTypes[column.field.index()], column.long_name, column.units});
  }
  return index;
}

template <class R, size_t N>
std::vector<Field<R>> fields_in(const std::array<Column<R>, N>& columns) {
  std::vector<Field<R>> fields;
  for (const Column<R>& column : columns) {
    fields.push_back(column.field);
  }
  return fields;
}

}  // namespace

std::string FileKind::scalar_path(std::string_view key) const { return std::string(scalars) + "/" + escape_name(key); }

bool FileKind::has_index_in(std::string_view group) const {
  return std::any_of(index.begin(), index.end(), [&](const Index& one) { return group_of(one.path) == group; });
}

bool FileKind::is_scalar(const std::string& path) const {
  return std::none_of(index.begin(), index.end(), [&](const Index& one) { return one.path == path; });
}

template <>
const FileKind& kind_of<Row>() {
  static const FileKind kind{
      "dynascope-run", "1.0", "run file", "run", "docs/run-file.md", "/scalars", true, nullptr, index_of(kRunIndex)};
  return kind;
}

template <>
const FileKind& kind_of<Member>() {
  static const FileKind kind{"dynascope-population",
                             "1.0",
                             "population file",
                             "population",
                             "docs/population-file.md",
                             "/member",
                             false,
                             "/all_members",
                             index_of(kPopulationIndex)};
  return kind;
}

template <>
const std::vector<Field<Row>>& fields_of<Row>() {
  static const std::vector<Field<Row>> fields = fields_in(kRunIndex);
  return fields;
}

template <>
const std::vector<Field<Member>>& fields_of<Member>() {
  static const std::vector<Field<Member>> fields = fields_in(kPopulationIndex);
  return fields;
}

const FileKind* find_kind(std::string_view schema) {
  for (const FileKind* kind : {&kind_of<Row>(), &kind_of<Member>()}) {
    if (schema == kind->schema) {
      return kind;
    }
  }
  return nullptr;
}

std::string_view group_of(std::string_view path) { return path.substr(0, path.rfind('/')); }

}  // namespace dynascope
