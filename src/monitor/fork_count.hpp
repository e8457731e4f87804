// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace dynascope::monitor {

/// How many forks lie between the first process and this one: a process id that costs no system call.
int fork_count() noexcept;

}  // namespace dynascope::monitor
