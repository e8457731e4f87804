// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From a Flow to a Network: which units make a node layer (docs/metrics.md, section 1), and how weights meet them.
//
// resolve_joins and find_sites say which units belong together and who takes over whose links; find_candidates adds the
// axes that someone tells apart, and one node layer for each resampling; find_ends says how weights and identity links
// meet them; place() writes it all down. Each reads what the ones before it made.

#include "atoms.hpp"
#include "flow.hpp"
#include "sites.hpp"

#include <set>
#include <string>
#include <vector>

namespace dynascope::network {

/// A node layer before it has a name: the units of one site as some of its readers see them.
struct Candidate {
  int32_t site = -1;
  int32_t origin = -1;  ///< of the site
  /// Per told axis of the origin: the atoms that these readers see instead, the axis itself where nothing resampled it.
  std::vector<Axis> seen;
  std::vector<AtomId> roots;  ///< the told axes
  std::vector<Axis> axes;     ///< the node layer's axes, features first
  std::vector<int32_t> reads;
  bool resampled = false;
  std::string problem;  ///< why it is not written; empty: it is

  /// The node layer's axes as one: its units, row-major.
  Axis units() const {
    Axis all;
    for (const Axis& axis : axes) {
      all.insert(all.end(), axis.begin(), axis.end());
    }
    return all;
  }
};

/// Candidates of all sites that keep a node layer of their own, in execution order.
std::vector<Candidate> find_candidates(Flow& flow, const Sites& sites, Atoms& atoms);

/// How one end of a weight layer, or of identity links, meets a candidate.
struct Contact {
  int32_t candidate = -1;
  LinkEnd end;
};

/// All ends of a weight layer, or of the identity links of one operand.
struct Ends {
  std::vector<Contact> sources, targets;
};

/// A range of a weight that ends apart from others: a weight layer of its own.
struct Part {
  int64_t first = 0;
  int64_t count = -1;  ///< outputs; -1: all
  int64_t first_group = 0;
  int64_t groups = -1;  ///< whole, or the one that holds the outputs; -1: all
  int64_t first_input = 0;
  int64_t inputs = -1;    ///< -1: all of the groups
  bool bias = true;       ///< no other part of these outputs has it
  bool constant = false;  ///< its inputs are no units
  Ends ends;
};

struct AllEnds {
  std::vector<std::vector<Part>> of_use;  ///< by use
  std::vector<Ends> identities;           ///< execution order
};

/// Ends of everything; candidates that cannot be met get a problem.
AllEnds find_ends(Flow& flow, const Sites& sites, Atoms& atoms, std::vector<Candidate>& candidates);

/// Marks uses of a weight on what derives from its own earlier output (docs/metrics.md, section 1, rule 7).
void find_loops(Flow& flow);

/// The whole way: loops, joins, sites, candidates, ends, names.
Network place(Flow flow);

/// Names of the candidates, in their order (docs/metrics.md, section 1); all distinct.
std::vector<std::string> name_candidates(const Flow& flow, const Sites& sites,
                                         const std::vector<Candidate>& candidates);

/// "6:18", as ranges of rows and columns are spelled in names.
std::string range_text(int64_t first, int64_t count);

/// `name` without the range of the rows that `use` takes of its parameter: a range of these is spelled as one of the
/// parameter's. Of a weight read the other way round rows are no outputs: then nothing is taken off.
struct Unranged {
  std::string name;
  int64_t first = 0;  ///< to add to outputs
};
Unranged unranged(const std::string& name, const Use& use);

/// `name`, or `name` with the first of #2, #3, ... that is not in `taken`; adds it to `taken`.
std::string make_distinct(const std::string& name, std::set<std::string>& taken);

}  // namespace dynascope::network
