// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace dynascope::monitor {

/// Lets the calling thread run wherever OpenMP's threads may. With OMP_PROC_BIND the thread that trains has a processor
/// to itself, and a thread that it starts inherits that one. Does nothing where OpenMP binds no threads.
void leave_training_its_processor() noexcept;

}  // namespace dynascope::monitor
