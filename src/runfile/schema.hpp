// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"

#include <dynascope/hdf5_sink.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What run and population files are made of (docs/run-file.md, docs/population-file.md), said once: the layout, the
// writer and the reader all go by these tables, so a new metric is a new line here.
namespace dynascope::schema {

constexpr const char* kDefinitionsVersion = "1.0";
constexpr const char* kConventions = "CF-1.10";

/// Bytes of an event's message; longer ones are cut.
constexpr size_t kMessageBytes = 256;

/// One per-row dataset: its name, element type, netCDF attributes, and the scales of its axes after the row axis. All
/// names are relative to its group.
struct Column {
  const char* name;
  RowType type;
  const char* long_name;
  const char* units;
  const char* scales[2];
};

// /nodes: (layer)
constexpr Column kNodeColumns[] = {
    {"fluctuation",
     RowType::kFloat64,
     "layer fluctuation: population standard deviation of node strength",
     "1",
     {"layer"}},
    {"strength_mean", RowType::kFloat64, "mean node strength of the layer", "1", {"layer"}},
    {"strength_min", RowType::kFloat64, "smallest finite node strength of the layer", "1", {"layer"}},
    {"strength_max", RowType::kFloat64, "largest finite node strength of the layer", "1", {"layer"}},
    {"nonfinite", RowType::kInt64, "nodes whose strength is not finite", "1", {"layer"}},
};

// /nodes/NNN_NAME: (unit); all but the first only with components
constexpr Column kUnitColumns[] = {
    {"strength", RowType::kFloat32, "node strength: in-strength plus out-strength", "1", {"unit"}},
    {"in_strength", RowType::kFloat32, "in-strength: sum of the weights of incoming links, and bias", "1", {"unit"}},
    {"out_strength", RowType::kFloat32, "out-strength: sum of the weights of outgoing links", "1", {"unit"}},
};

// /links: (link)
constexpr Column kLinkColumns[] = {
    {"mean", RowType::kFloat64, "mean link weight", "1", {"link"}},
    {"std", RowType::kFloat64, "population standard deviation of the link weights", "1", {"link"}},
    {"min", RowType::kFloat64, "smallest finite link weight", "1", {"link"}},
    {"max", RowType::kFloat64, "largest finite link weight", "1", {"link"}},
    {"abs_mean", RowType::kFloat64, "mean of the absolute link weights", "1", {"link"}},
    {"norm", RowType::kFloat64, "Euclidean norm of the link weights", "1", {"link"}},
    {"nonfinite", RowType::kInt64, "link weights that are not finite", "1", {"link"}},
};

// /links: (link, bin)
constexpr Column kHistogramColumn = {"histogram",
                                     RowType::kInt64,
                                     "link weights per bin; the first and last bin are under- and overflow",
                                     "1",
                                     {"link", "bin"}};

// /links/NNN_NAME: (row) and (column)
constexpr Column kRowSumColumn = {"row_sum", RowType::kFloat32, "sum of each row of the weights", "1", {"row"}};
constexpr Column kColumnSumColumn = {
    "column_sum", RowType::kFloat32, "sum of each column of the weights", "1", {"column"}};

/// What a dataset of the row is, by its path; null for parameters. @throws Error for a path the schema does not know
const Column* column(std::string_view path);

/// Path of the dimension scale of an axis after the row axis.
std::string scale_of(std::string_view path, const Column& column, size_t axis);

std::string parameter_path(std::string_view name);

/// Product of `shape`. @throws Error when it is negative or does not fit into 2^48
int64_t product(const std::vector<int64_t>& shape, std::string_view what);

/// @throws Error where the parts of a description do not fit together; `where` opens the message. The writer asks
/// before it creates a file, the reader before it believes one.
void check(const FileKind& kind, const RunDescription& description, const std::string& where);

}  // namespace dynascope::schema
