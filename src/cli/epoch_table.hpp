// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "verb.hpp"

#include <dynascope/run_file.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dynascope::cli {

/// What show and watch show of a run.
struct Shown {
  std::string path;
  std::string metric = "fluctuation";
  std::vector<std::string> layers;  ///< none: all
};

/// Adds RUN, --layer and --metric.
void add_shown(CLI::App& verb, Shown& shown);

/// A column of the table: a layer's metric, or a scalar.
struct Series {
  std::string name;
  bool integer = false;
  std::vector<double> values;  ///< one per row shown
};

/// @throws Error when there is no such metric or layer (names those that exist)
std::vector<Series> read_layers(const RunFile& run, const Shown& shown, const std::vector<int64_t>& rows);
std::vector<Series> read_scalars(const RunFile& run, const std::vector<int64_t>& rows);

/// A line per row; on a terminal a trend below, and wide tables are folded.
void print_epochs(const Output& output, const RunRows& index, const std::vector<int64_t>& rows,
                  const std::vector<Series>& columns);

}  // namespace dynascope::cli
