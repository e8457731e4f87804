// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which units of an origin belong together, who reads them, and which sums take over whose links (docs/metrics.md,
// section 1, rules 2, 4 and 5).

#include "flow.hpp"
#include "relation.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace dynascope::network {

/// A range of the features of one origin. Most origins are one site.
struct Site {
  int32_t origin = -1;
  int64_t first = 0;
  int64_t count = -1;          ///< features; -1: all of them, or not known which axis holds them
  bool part = false;           ///< the origin has other sites
  std::vector<int32_t> reads;  ///< positions in Flow::reads, execution order
  int32_t absorbed = -1;       ///< the read that takes over its links: it is no node layer of its own
};

struct Sites {
  std::vector<Site> all;                        ///< by origin, then by range
  std::vector<std::vector<int32_t>> of_origin;  ///< origin -> its sites
  std::vector<Relation> relations;              ///< of every read: all leaves of what it reads
};

/// Where incoming links of a site come from.
struct Producer {
  std::vector<int32_t> path;       ///< operand reads that lead there from the site's origin
  int32_t site = -1;               ///< -1: an operator that is not understood
  const Writer* writer = nullptr;  ///< null: the site itself is the source, through identity links
};

/// Puts the operands of joins in place of the joins, in every read; drops reads of nothing, and sums that only scores
/// read though all their operands come from one origin.
void resolve_joins(Flow& flow);

Sites find_sites(const Flow& flow);

/// Through absorbed sites, down to weights and to sites that keep their own node layer.
std::vector<Producer> producers_of(const Flow& flow, const Sites& sites, int32_t site);

}  // namespace dynascope::network
