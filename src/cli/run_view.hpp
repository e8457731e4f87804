// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/run_file.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope::cli {

/// Opens a run; every error names the path.
RunFile open_run(const std::string& path);

/// A value per row and layer that can be shown.
struct Metric {
  const char* name;
  const char* group;  ///< "nodes" or "links"
  bool integer;
  const char* what;

  std::string dataset() const { return std::string("/") + group + "/" + name; }
};

/// All metrics, as help text: one line each.
std::string metric_help();

/// By name ("fluctuation") or, where node and weight layers share one, by group and name ("links/nonfinite").
/// @throws Error when there is none (names those that exist)
const Metric& find_metric(const std::string& name);

/// Names of the layers that `metric` has a value for, in execution order.
std::vector<std::string> layer_names(const RunDescription& run, const Metric& metric);

/// Positions in `names` of the layers asked for, in the order asked for; all of them where none is.
/// @throws Error when there is no such layer (names those that exist)
std::vector<size_t> pick_layers(const std::string& path, const std::vector<std::string>& names,
                                const std::vector<std::string>& wanted, const std::string& metric);

/// Epochs `first` to `last`, inclusive.
struct EpochRange {
  int64_t first = 0;
  int64_t last = std::numeric_limits<int64_t>::max();
};

/// Of "A:B", "A:", ":B" or "A"; all epochs where `text` is empty.
/// @throws Error for anything else
EpochRange parse_epochs(const std::string& text);

/// Positions of rows that stand for their epoch: the one that closes it, else its newest.
std::vector<int64_t> rows_of_epochs(const RunRows& index, int64_t first_epoch, int64_t last_epoch);

/// @throws Error unless `values`, read from `dataset`, are `rows` times `columns`
void require_size(const std::string& dataset, const std::vector<double>& values, int64_t rows, int64_t columns);

/// (rows, columns) row-major: the given rows of a dataset of `columns` values per row, read in blocks.
std::vector<double> read_rows(const RunFile& run, const std::string& dataset, const std::vector<int64_t>& rows,
                              size_t columns);

/// Adds the arrays row, epoch, step, epoch_end and time of the given rows.
void add_row_keys(nlohmann::ordered_json& json, const RunRows& index, const std::vector<int64_t>& rows);

/// Prints JSON; NaN and Inf, which JSON cannot spell, become null.
void print_json(std::ostream& out, const nlohmann::ordered_json& value);

}  // namespace dynascope::cli
