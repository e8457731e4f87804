// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "exported.hpp"
#include "target_file.hpp"

#include <dynascope/run_file.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dynascope::cli {

/// Writes rows of values as they come, in one format. Every finite value can be read back as it is.
class ArrayWriter {
 public:
  virtual ~ArrayWriter() = default;

  /// Values of the next row, `Exported::axes` row-major.
  virtual void row(const double* values) = 0;

  /// After the last row.
  virtual void finish() {}
};

/// The rows of a run that are written out.
struct ExportedRows {
  std::string path;  ///< of the run
  const RunRows& index;
  std::vector<int64_t> rows;  ///< positions in the run, ascending
};

/// A writer of "csv", "npy" or "json".
///
/// CSV: a header, then a line per row, which begins with row, epoch, step, epoch_end and time. NPY: (rows, axes...) in
/// the dataset's own type. JSON: an object with the same columns and `values`, nested as the axes are; null for what is
/// not finite, which JSON cannot spell.
std::unique_ptr<ArrayWriter> make_writer(const std::string& format, const ExportedRows& rows, const Exported& what,
                                         TargetFile& to);

}  // namespace dynascope::cli
