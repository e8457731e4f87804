// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The three passes of tables.hpp on the cpu, one file each, siblings of those in cuda/. Each runs on the threads of
// at::parallel_for; what it writes does not depend on their number.

#include "engine/tables.hpp"

#include <cstddef>
#include <cstdint>

namespace dynascope::engine::cpu {

/// Partial sums and moments of every tile; with `histogram`, counts added to a histogram that is all 0.
void reduce(const Tables& tables, std::byte* row, bool histogram);

/// Row sums, column sums, link-weight statistics and plain sums.
void combine(const Tables& tables, std::byte* row);

/// Strengths and summaries of node layers.
void nodes(const Tables& tables, std::byte* row);

/// Recorded parameters.
void copy_parameters(const Tables& tables, std::byte* row);

}  // namespace dynascope::engine::cpu
