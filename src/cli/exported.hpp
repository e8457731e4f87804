// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/row_layout.hpp>
#include <dynascope/run_file.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dynascope::cli {

/// What of a run is written out: one value per row and place in `axes`.
struct Exported {
  std::string metric;
  std::string dataset;              ///< its path in the run file
  std::vector<std::string> layers;  ///< those that it is of; none for scalars and parameters
  RowType type = RowType::kFloat64;
  std::vector<int64_t> axes;           ///< of one row, as written; none: one value per row
  std::vector<std::string> names;      ///< one per value of a row, row-major; none: their places in `axes`
  std::vector<int64_t> picks;          ///< positions of those values in a row of the dataset; none: all of them
  std::optional<size_t> unit_maps_of;  ///< this node layer is expanded to one value per unit
};

/// The product of `axes`.
int64_t values_per_row(const Exported& what);

/// Finds `metric` in the run: a value per layer ("fluctuation", "links/std", "histogram"), of all layers or those in
/// `layers`, where a single one has no axis of its own; a value per unit ("strength", "in_strength", "out_strength") or
/// row ("row_sum", "column_sum") of the one layer in `layers`; "scalars/KEY" or "parameters/NAME".
/// @throws Error when there is none, or no such layer (names those that exist), or a row would have more than 2^26
/// values
Exported find_exported(const RunFile& run, const std::string& path, const std::string& metric,
                       const std::vector<std::string>& layers, bool expand);

/// The values of `count` rows from `first` on, row-major (count, axes...).
/// @throws Error when the file does not hold them
std::vector<double> read_exported(const RunFile& run, const Exported& what, int64_t first, int64_t count);

}  // namespace dynascope::cli
