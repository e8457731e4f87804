// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dynascope::monitor {

/// What a checkpoint tells of a run: optimizer steps done, and epochs closed by then (-1: as the rows tell).
struct Checkpoint {
  int64_t step = -1;
  int64_t epochs_closed = -1;
  std::vector<double> scalars;  ///< that wait for their row; empty: none
};

/// Where a run goes on: what of it stands in its file already.
struct ResumePoint {
  Checkpoint checkpoint;
  int64_t rows_kept = 0;
  int64_t rows_dropped = 0;
  int64_t last_step = 0;  ///< of the last row that is kept
  double seconds = 0;     ///< of training, up to that row
  std::vector<double> histogram_edges;
};

/// Looks at the run file at `path`.
/// @throws Error when it cannot be read, or has no row up to the checkpoint
ResumePoint resume_point(const std::string& path, Checkpoint checkpoint);

}  // namespace dynascope::monitor
