// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From a Flow to a Network: which units make a node layer (docs/metrics.md, section 1), and how weights meet them.

#include "flow.hpp"

#include <set>
#include <string>
#include <vector>

namespace dynascope::network {

/// A node layer before it has a name: the units of one origin as some of its readers see them.
struct Candidate {
  int32_t origin = -1;
  /// Per told axis of the origin: the atoms that these readers see instead, the axis itself where nothing resampled it.
  std::vector<Axis> seen;
  std::vector<AtomId> roots;  ///< the told axes
  std::vector<Axis> axes;     ///< the node layer's axes, features first
  std::vector<int32_t> reads;
  bool resampled = false;
  std::string problem;  ///< why it is not written; empty: it is
};

/// Candidates of all origins but unknown ones, in execution order.
std::vector<Candidate> find_candidates(const Flow& flow);

/// Marks uses of a weight on what derives from its own earlier output (docs/metrics.md, section 1, rule 7).
void find_loops(Flow& flow);

/// How features `written` or read, row-major, meet the units of `axes`.
/// @return per_unit, order; node_layer stays -1 and `problem` says why where they do not meet
LinkEnd meet(const Flow& flow, const Axis& features, const std::vector<Axis>& axes, std::string& problem);

/// The composed coefficients from `root` to what is seen of it; `problem` says why where there are none.
Resampling resampling_of(const Flow& flow, AtomId root, const Axis& seen, std::string& problem);

/// The whole way: loops, candidates, ends, names.
Network place(Flow flow);

/// Names of the candidates, in their order (docs/metrics.md, section 1); all distinct.
std::vector<std::string> name_candidates(const Flow& flow, const std::vector<Candidate>& candidates);

/// `name`, or `name` with the first of #2, #3, ... that is not in `taken`; adds it to `taken`.
std::string make_distinct(const std::string& name, std::set<std::string>& taken);

}  // namespace dynascope::network
