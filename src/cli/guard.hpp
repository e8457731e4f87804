// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "verb.hpp"

namespace dynascope::cli {

constexpr int kTrouble = 2;

/// Runs the job in a child process with limits on memory and processor time, and returns the exit status. A repeated
/// job has a child each time.
///
/// HDF5 1.10 can be brought to crash, to loop or to allocate without end by a file made for it. Catching exceptions
/// does not help against that, and signal handlers cannot repair a broken heap; a child can die alone. What it wrote is
/// shown only when it ended by itself, so that a bad file gives one line and no half of a table.
int run_guarded(const Job& job, bool color, bool terminal);

}  // namespace dynascope::cli
