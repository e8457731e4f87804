// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/training_callback.hpp>

#include <cstdint>
#include <string>

namespace dynascope::monitor {

/// How far training is.
struct Progress {
  int64_t epochs = 0;           ///< in all; 0: unknown
  int64_t steps_per_epoch = 0;  ///< 0: unknown
  int64_t epochs_done = 0;
  int64_t steps_done = 0;      ///< in all
  int64_t steps_in_epoch = 0;  ///< of the epoch under way
  double seconds = 0;
  Scalars scalars;  ///< of the last epoch

  /// Done part of everything, 0 to 1; negative where the total is unknown.
  double fraction() const;
};

/// One line of at most `width` characters.
std::string progress_line(const Progress& progress, int64_t width);

}  // namespace dynascope::monitor
