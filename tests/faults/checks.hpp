// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "models.hpp"

#include <dynascope/error.hpp>
#include <dynascope/run_file.hpp>
#include <dynascope/validate.hpp>

#include <cstring>
#include <sstream>
#include <string>
#include <vector>

// What a file that a fault campaign left behind must hold. The first thing that is wrong is an Error.
namespace dynascope::testing {

/// How much a writer had done when it died.
struct Progress {
  int64_t rows_told = 0;   ///< whose flush had come back
  int64_t rows_begun = 0;  ///< that had been handed to write
  int64_t rows_per_flush = 1;
};

inline bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

template <class T>
void require_equal(const T& expected, const T& found, const std::string& what) {
  if (!(expected == found)) {
    std::ostringstream text;
    text << what << ": expected " << expected << ", found " << found;
    throw Error(text.str());
  }
}

inline void check_index(const RunFile& file, const RunDescription& run) {
  SampleRows source(run, RowLayout());
  const auto rows = source.rows(0, file.rows());
  const RunRows index = file.row_index();
  for (int64_t row = 0; row < file.rows(); ++row) {
    const Row& expected = rows[static_cast<size_t>(row)];
    const auto at = static_cast<size_t>(row);
    const std::string where = "row " + std::to_string(row);
    require_equal(expected.step, index.step[at], where + ", step");
    require_equal(expected.epoch, index.epoch[at], where + ", epoch");
    require_equal(expected.epoch_end, bool(index.epoch_end[at]), where + ", epoch_end");
    require_equal(expected.time, index.time[at], where + ", time");
    require_equal(expected.snapshot_seconds, index.snapshot_seconds[at], where + ", snapshot");
    require_equal(expected.dropped, index.dropped[at], where + ", dropped");
  }
  for (size_t key = 0; key < file.description().scalars.size(); ++key) {
    const auto values = file.scalar(file.description().scalars[key]);
    for (int64_t row = 0; row < file.rows(); ++row) {
      const double expected = rows[static_cast<size_t>(row)].scalars[key];
      require_equal(true, same_bits(expected, values[static_cast<size_t>(row)]), "a scalar is the one written");
    }
  }
}

inline void check_values(const RunFile& file) {
  constexpr int64_t kRowsAtOnce = 16;
  const RowLayout layout(file.description());
  for (size_t number = 0; number < layout.spans().size(); ++number) {
    const Span& span = layout.spans()[number];
    const double factor = span.type == RowType::kInt64 ? 16 : 1;
    for (int64_t first = 0; first < file.rows(); first += kRowsAtOnce) {
      const int64_t count = std::min(kRowsAtOnce, file.rows() - first);
      const auto values = file.read(span.path, first, count);
      for (int64_t i = 0; i < count * span.count; ++i) {
        double expected = factor * sample_value(first + i / span.count, static_cast<int64_t>(number), i % span.count);
        expected = span.type == RowType::kFloat32 ? static_cast<float>(expected) : expected;
        if (!same_bits(expected, values[static_cast<size_t>(i)])) {
          require_equal(expected, values[static_cast<size_t>(i)], span.path + ", row " + std::to_string(first));
        }
      }
    }
  }
}

inline void check_events(const RunFile& file, int64_t rows_per_flush) {
  const auto events = file.events();
  // The newest batch may be committed and its event not yet.
  require_equal(true, static_cast<int64_t>(events.size() + 1) * rows_per_flush >= file.rows(),
                "every committed batch but the last has its event");
  for (size_t i = 0; i < events.size(); ++i) {
    require_equal(static_cast<int64_t>(i) * rows_per_flush, events[i].step, "step of event " + std::to_string(i));
    require_equal(std::string("event"), events[i].message, "message of event " + std::to_string(i));
  }
}

/// All of it, and that no rule of docs/run-file.md is broken.
inline void check_contents(const std::string& path, const RunDescription& run, const Progress& progress,
                           bool finished) {
  const RunFile file(path);
  require_equal(true, file.rows() >= progress.rows_told, "every row that a flush reported is committed");
  require_equal(true, file.rows() <= progress.rows_begun, "no row is committed that was not written");
  require_equal(int64_t{0}, file.rows() % progress.rows_per_flush, "rows are committed in whole batches");
  require_equal(!finished, file.in_progress(), "the file is marked as open");
  require_equal(false, file.has_writer(), "the writer is known to be dead");
  check_index(file, run);
  check_values(file);
  check_events(file, progress.rows_per_flush);
  for (const Violation& violation : validate(path)) {
    throw Error("validate says " + violation.object + " " + violation.message);
  }
}

}  // namespace dynascope::testing
