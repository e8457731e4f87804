// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The inside of find_ends(), for its sources: source_ends.cpp, target_ends.cpp and identity_ends.cpp meet node layers,
// lost_ends.cpp says who cannot be written then, parts.cpp takes weights apart.

#include "atoms.hpp"
#include "placement.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace dynascope::network {

using Pairs = std::vector<std::pair<int64_t, int64_t>>;  // unit, index
using Rows = std::pair<int64_t, int64_t>;                // first, count

bool shares_one(const std::set<AtomId>& some, const Axis& axis);

/// Ends that reach every pair: as many as one unit has indices.
std::vector<LinkEnd> ends_of(const Pairs& pairs, int64_t count, const LinkEnd& pattern);

/// Gives `end` the indices `order`, by unit: as the affine rule of LinkEnd says them, or one by one.
void number(LinkEnd& end, const std::vector<int64_t>& order);

class EndFinder {
 public:
  EndFinder(Flow& flow, const Sites& sites, Atoms& atoms, std::vector<Candidate>& candidates);

  AllEnds run();

 private:
  /// The axes of a candidate, and what is chosen on the way, in terms of the origin at the end of a path.
  struct Image {
    std::vector<Axis> axes;
    Axis gone;
    Axis units;
  };
  struct Identity {
    std::map<int32_t, std::vector<Contact>> sources;
    std::vector<Contact> targets;
  };
  /// How one operand copies a node layer into a sum.
  struct Copies {
    int32_t term = -1, from = -1;
    Pairs units;  ///< unit of the sum, unit of the source
    std::vector<Resampling> resampling;
  };

  // ends.cpp
  int64_t count_of(const Candidate& candidate, bool per_unit) const;
  void shift(Pairs& pairs, const Candidate& candidate, bool per_unit) const;
  Image along(const std::vector<int32_t>& path, const Candidate& from);
  Relation relation_of(const Image& image) const;

  // source_ends.cpp
  void find_constants();
  void add_source(int32_t position, int32_t reader);
  void read_by_convolution(int32_t position, int32_t reader);
  static bool add_cells(LinkEnd& end, const Pairs& cells, int64_t read, int64_t size, size_t axis);
  void read_by_linear(int32_t position, int32_t reader);
  void add_sources(int32_t position, int32_t use, Pairs pairs, const LinkEnd& pattern);
  void write_sources();

  // target_ends.cpp
  void add_targets(int32_t position);
  void written_by(int32_t position, const Producer& producer);
  static std::optional<Rows> rows_of(const Pairs& pairs);
  std::string add_resampling(LinkEnd& end, const Image& image, const Origin& origin, const Candidate& to) const;
  AtomId root_of(const Axis& axis, const Origin& origin) const;
  bool is_resampled(const Axis& axis) const;
  void lose_target(int32_t position, int32_t use, const std::string& problem);

  // identity_ends.cpp
  void linked_to(int32_t position, const Producer& producer);
  void add_identity(int32_t position, int32_t from, const Pairs& met, const LinkEnd& target, const LinkEnd& origin,
                    int32_t reader);
  bool add_copies(LinkEnd& end, const Image& image, const Candidate& source, const Candidate& to) const;
  bool add_covered(LinkEnd& end, int32_t reader, const Candidate& source) const;
  bool is_kept(const Read& operand, const Axis& axis) const;
  void refuse_reordered_sums();
  static bool cross(const Copies& a, const Copies& b);
  void gather_identities();
  static bool same_targets(const Identity& a, const Identity& b);
  void note(int32_t position, const std::vector<int32_t>& path, const Pairs& units, bool identity);

  // lost_ends.cpp
  void blame(int32_t position, const std::string& problem);
  int64_t positions(const Candidate& candidate, size_t axis) const;
  void settle(const Ends& ends, bool convolution);
  void spread_losses();
  bool is_lost(int32_t position);
  void spread(const Ends& ends, const std::string& name);

  // parts.cpp
  void take_apart(size_t use);
  std::optional<std::vector<Part>> parts_of(size_t use) const;
  std::vector<Part> split_inputs(const Part& part, const std::vector<int64_t>& units, int64_t inputs) const;
  std::optional<Contact> cut(Contact contact, int64_t first, int64_t count) const;

  Candidate& candidate(int32_t position) { return candidates_[static_cast<size_t>(position)]; }
  const Candidate& candidate(int32_t position) const { return candidates_[static_cast<size_t>(position)]; }
  const Site& site_of(int32_t position) const { return sites_.all[static_cast<size_t>(position)]; }
  const Origin& origin_of(int32_t position) const { return flow_.origins[static_cast<size_t>(position)]; }
  const Read& read(int32_t position) const { return flow_.reads[static_cast<size_t>(position)]; }
  const Relation& relation(int32_t read) const { return sites_.relations[static_cast<size_t>(read)]; }
  bool is_convolution(size_t use) const { return !flow_.uses[use].layer.axes.empty(); }

  Flow& flow_;
  const Sites& sites_;
  Atoms& atoms_;
  std::vector<Candidate>& candidates_;
  AllEnds result_;
  std::vector<Ends> of_use_;                                  // before outputs that end apart are
  std::vector<std::set<Rows>> written_;                       // by use
  std::map<std::pair<size_t, size_t>, Rows> rows_of_target_;  // by use and target
  std::map<std::tuple<int32_t, int32_t, bool, std::vector<std::vector<int64_t>>>, Pairs> read_;  // by use, candidate
  std::vector<std::string> constants_;             // by use: why its sums are not known
  std::vector<std::vector<int64_t>> unit_inputs_;  // by use: inputs that are units; empty: all
  std::vector<std::pair<int32_t, int32_t>> lost_;  // candidate, use
  std::map<std::tuple<int32_t, int32_t, int32_t>, std::map<int64_t, std::pair<int32_t, bool>>> noted_;
  std::map<std::tuple<int32_t, int32_t, int32_t, int32_t>, Identity> identities_;  // by sum, term, read, site
  std::map<std::pair<int32_t, int32_t>, std::vector<Copies>> copies_;              // by candidate, sum
};

}  // namespace dynascope::network
