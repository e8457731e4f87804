// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Networks of one shape whose parameters are stacked, (replicas, ...).

#include <dynascope/network.hpp>

#include <cstdint>
#include <optional>

namespace dynascope::engine {

/// The size of the replica axis; nothing where there is none.
/// @throws Error when some parameters carry it and others do not, or its sizes differ (says which)
std::optional<int64_t> replicas_of(const Network& network);

/// One network of `replicas` parts that have no link in common: replica r has node layers r * n to r * n + n - 1, and
/// weight layers likewise. One plan then measures them all, with as many launches as for one.
Network side_by_side(const Network& network, int64_t replicas);

/// The first replica alone.
Network first_replica(const Network& network);

}  // namespace dynascope::engine
