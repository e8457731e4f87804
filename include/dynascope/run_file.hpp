// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/sink.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope {

/// What the run file says about who wrote it; empty strings where the file has none.
struct RunProvenance {
  std::string schema_version;
  std::string definitions_version;
  std::string creator_version;
  std::string created;  ///< ISO 8601, UTC
  std::string run_id;   ///< UUID
  std::string host;
  std::string command;
  std::string history;  ///< a line per program that wrote the file: created, recovered, resumed
};

/// When the rows were taken; each vector has one entry per row.
struct RunRows {
  std::vector<int64_t> step;
  std::vector<int64_t> epoch;
  std::vector<bool> epoch_end;
  std::vector<double> time;              ///< seconds since training began
  std::vector<double> snapshot_seconds;  ///< cost of each row
  std::vector<int64_t> dropped;          ///< rows dropped before each row
};

/// Reads a run file, finished, still growing, or left behind by a killed process. Needs no LibTorch.
///
/// Only committed rows are visible. Nothing the file says is trusted: kinds, types, ranks and sizes are checked before
/// use, and what does not fit is one Error that opens with the path. (HDF5 1.10 itself may crash on files made to harm:
/// read those in a process of their own.) Not thread-safe; several objects in one process may read one file.
class DYNASCOPE_RUNFILE_API RunFile {
 public:
  /// Opens `path` for reading. A file that a writer holds, or that was never closed, is opened as a SWMR reader.
  /// @throws Error when it is no run file, or one of a newer major schema version (one line, says what to do)
  explicit RunFile(const std::string& path);
  ~RunFile();
  RunFile(RunFile&&) noexcept;
  RunFile& operator=(RunFile&&) noexcept;

  /// What was known before training: layers, connections, options, skipped.
  const RunDescription& description() const noexcept;
  const RunProvenance& provenance() const noexcept;

  /// Rows visible now.
  int64_t rows() const noexcept;

  /// Looks for rows and events committed since; true when there are more rows than before.
  /// @throws Error when the file cannot be read any more
  bool refresh();

  /// True when the file was left open: a writer still has it, or died. As of the last refresh.
  bool in_progress() const noexcept;

  /// True while the process that writes the run lives; false for one that was left behind, and for a finished one. True
  /// for every file that was left open where the file system knows no locks. Asks now, not as of the last refresh.
  bool has_writer() const;

  /// Steps, epochs and times of all visible rows.
  RunRows row_index() const;

  /// Events committed so far.
  std::vector<Event> events() const;

  /// The user's scalar `key` in every row (NaN where none was given).
  /// @throws Error when the run has no such scalar
  std::vector<double> scalar(std::string_view key) const;

  /// Rows `first` to `first + count - 1` of any per-row dataset, as doubles, row-major (count, shape...).
  /// @param path  for example "/nodes/fluctuation", or node_layer_path(...) + "/strength"
  /// @throws Error when there is no such dataset, or a row is not committed
  std::vector<double> read(std::string_view path, int64_t first, int64_t count) const;

  /// Position of a node layer by name.
  /// @throws Error when there is none (names the layers that exist)
  size_t node_layer(std::string_view name) const;

  /// One value per unit of a node layer in one row, (shape...) row-major: the stored values, expanded by class.
  /// @param layer   position of the node layer
  /// @param metric  "strength", or "in_strength" / "out_strength" where components were recorded
  /// @throws Error when there is no such layer, row or metric, or the map would have more than 2^26 units
  std::vector<double> unit_map(size_t layer, int64_t row, std::string_view metric = "strength") const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dynascope
