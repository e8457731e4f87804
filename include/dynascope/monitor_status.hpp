// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/run_description.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dynascope {

/// What a Monitor has done so far.
struct MonitorStatus {
  int64_t rows_written = 0;  ///< rows visible to readers of the sink
  int64_t rows_dropped = 0;  ///< rows that found the buffer full (WhenFull::kDrop)
  int64_t errors = 0;        ///< failures, unknown scalars and calls out of order
  std::string first_error;   ///< empty when there was none
  std::vector<SkippedInfo> skipped;
  double snapshot_seconds = 0;  ///< host time spent in taking snapshots, summed
  double device_seconds = 0;    ///< GPU time of snapshots, summed; only with MonitorOptions::overhead_budget
  double writer_seconds = 0;    ///< processor time spent in writing rows, summed; mostly in a thread of its own
  double training_seconds = 0;  ///< from the end of on_train_begin to the start of on_train_end, or to now; of a
                                ///< resumed run with the time up to its last row
  int64_t bytes_written = 0;    ///< as the sink counts them, at its last flush
};

}  // namespace dynascope
