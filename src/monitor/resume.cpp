// SPDX-License-Identifier: BSD-3-Clause
#include "resume.hpp"

#include <dynascope/error.hpp>
#include <dynascope/run_file.hpp>

#include <utility>

namespace dynascope::monitor {

ResumePoint resume_point(const std::string& path, Checkpoint checkpoint) {
  const RunFile file(path);
  const RunRows rows = file.row_index();
  ResumePoint point;
  int64_t epochs_closed = 0;
  for (size_t row = 0; row < rows.step.size(); ++row) {
    const bool later =
        checkpoint.epochs_closed >= 0 && rows.epoch_end[row] && rows.epoch[row] > checkpoint.epochs_closed;
    if (rows.step[row] > checkpoint.step || (rows.step[row] == checkpoint.step && later)) {
      break;
    }
    ++point.rows_kept;
    point.last_step = rows.step[row];
    point.seconds = rows.time[row];
    epochs_closed = rows.epoch_end[row] ? rows.epoch[row] : rows.epoch[row] - 1;
  }
  if (point.rows_kept == 0) {
    throw Error(path + ": there is no row up to step " + std::to_string(checkpoint.step) +
                ", so there is nothing to resume; begin a new run");
  }
  point.rows_dropped = file.rows() - point.rows_kept;
  if (checkpoint.epochs_closed < 0) {
    checkpoint.epochs_closed = epochs_closed;
  }
  point.histogram_edges = file.description().histogram_edges;
  point.checkpoint = std::move(checkpoint);
  return point;
}

}  // namespace dynascope::monitor
