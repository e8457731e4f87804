// SPDX-License-Identifier: BSD-3-Clause
#include "sites.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

namespace dynascope::network {
namespace {

enum class End { kNothing, kScores, kRead };  // how a unit ends

/// Reads that are one reader: of one weight, of one operand, of the outputs.
using Reader = std::tuple<Read::Kind, int32_t, int32_t>;

Reader reader_of(const Read& read, int32_t position) {
  switch (read.kind) {
    case Read::Kind::kLinear:
    case Read::Kind::kConvolution:
      return {Read::Kind::kLinear, read.use, 0};
    case Read::Kind::kOperand:
      return {read.kind, read.sum, read.term};
    case Read::Kind::kScores:  // q and k end alike, and are two
    case Read::Kind::kUnknown:
      return {read.kind, position, 0};
    default:
      return {read.kind, 0, 0};
  }
}

/// Features that stand together with the same readers.
struct Range {
  int64_t first = 0, count = 0;
  std::vector<Reader> readers;

  End end() const {
    const bool scores = std::all_of(readers.begin(), readers.end(),
                                    [](const Reader& r) { return std::get<0>(r) == Read::Kind::kScores; });
    return readers.empty() ? End::kNothing : scores ? End::kScores : End::kRead;
  }
};

bool belong_together(const Range& a, const Range& b) {
  return a.end() == b.end() &&
         (a.end() == End::kNothing || std::any_of(a.readers.begin(), a.readers.end(), [&](auto& r) {
            return std::find(b.readers.begin(), b.readers.end(), r) != b.readers.end();
          }));
}

/// What is read together, or ends alike; whole ranges only, in order.
std::vector<std::pair<int64_t, int64_t>> groups_of(const std::vector<Range>& ranges) {
  std::vector<size_t> group(ranges.size());
  std::iota(group.begin(), group.end(), 0);
  for (size_t a = 0; a < ranges.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      if (belong_together(ranges[a], ranges[b])) {
        const size_t from = group[a], to = group[b];
        std::replace(group.begin(), group.end(), from, to);
      }
    }
  }
  std::vector<std::pair<int64_t, int64_t>> result;
  std::vector<size_t> seen;
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (!seen.empty() && seen.back() == group[i]) {
      result.back().second += ranges[i].count;
    } else if (std::find(seen.begin(), seen.end(), group[i]) != seen.end()) {
      return {};  // in pieces: no range
    } else {
      seen.push_back(group[i]);
      result.emplace_back(ranges[i].first, ranges[i].count);
    }
  }
  return result;
}

class Finder {
 public:
  explicit Finder(const Flow& flow) : flow_(flow) {}

  Sites run() {
    for (const Read& read : flow_.reads) {
      sites_.relations.emplace_back(flow_, all_leaves(flow_, read.value));
    }
    reads_of_.resize(flow_.origins.size());
    for (size_t i = 0; i < flow_.reads.size(); ++i) {
      reads_of_[static_cast<size_t>(flow_.reads[i].value.origin)].push_back(static_cast<int32_t>(i));
    }
    sites_.of_origin.resize(flow_.origins.size());
    for (size_t i = 0; i < flow_.origins.size(); ++i) {
      if (flow_.origins[i].kind != Origin::Kind::kJoin && flow_.origins[i].kind != Origin::Kind::kUnknown) {
        add_sites(static_cast<int32_t>(i));
      }
    }
    absorb();
    return std::move(sites_);
  }

 private:
  void add(int32_t origin, int64_t first, int64_t count, bool part, std::vector<int32_t> reads) {
    sites_.of_origin[static_cast<size_t>(origin)].push_back(static_cast<int32_t>(sites_.all.size()));
    sites_.all.push_back({origin, first, count, part, std::move(reads), -1});
  }

  void add_sites(int32_t position) {
    const Origin& origin = flow_.origins[static_cast<size_t>(position)];
    const std::vector<int32_t>& reads = reads_of_[static_cast<size_t>(position)];
    const int64_t features = origin.features.empty() ? -1 : size_of(flow_, origin.features);
    const bool recurrent = origin.writers.size() > 1;  // every unit is read by the next step
    std::map<int32_t, std::vector<int64_t>> touched;   // by read, where it is not everything
    for (const int32_t read : reads) {
      const auto met = features < 0 ? std::nullopt : sites_.relations[static_cast<size_t>(read)].met(origin.features);
      if (met.has_value() && static_cast<int64_t>(met->size()) != features) {
        touched[read] = *met;
      }
    }
    const auto groups =
        touched.empty() ? std::vector<std::pair<int64_t, int64_t>>() : groups_of(ranges_of(features, reads, touched));
    if (groups.size() < 2 || recurrent) {
      add(position, 0, features, false, reads);
      return;
    }
    for (const auto& [first, count] : groups) {
      std::vector<int32_t> own;
      for (const int32_t read : reads) {
        const auto some = touched.find(read);
        const bool reaches = some == touched.end() || std::any_of(some->second.begin(), some->second.end(),
                                                                  [&, f = first, c = count](int64_t feature) {
                                                                    return feature >= f && feature < f + c;
                                                                  });
        if (reaches) {
          own.push_back(read);
        }
      }
      add(position, first, count, true, std::move(own));
    }
  }

  std::vector<Range> ranges_of(int64_t features, const std::vector<int32_t>& reads,
                               const std::map<int32_t, std::vector<int64_t>>& touched) const {
    std::vector<std::vector<Reader>> readers(static_cast<size_t>(features));
    for (const int32_t position : reads) {
      const Reader reader = reader_of(flow_.reads[static_cast<size_t>(position)], position);
      const auto some = touched.find(position);
      for (int64_t feature = 0; feature < features; ++feature) {
        auto& own = readers[static_cast<size_t>(feature)];
        const bool reads_it =
            some == touched.end() || std::binary_search(some->second.begin(), some->second.end(), feature);
        if (reads_it && std::find(own.begin(), own.end(), reader) == own.end()) {
          own.push_back(reader);
        }
      }
    }
    std::vector<Range> ranges;
    for (int64_t feature = 0; feature < features; ++feature) {
      const auto& own = readers[static_cast<size_t>(feature)];
      if (ranges.empty() || ranges.back().readers != own) {
        ranges.push_back({feature, 0, own});
      }
      ++ranges.back().count;
    }
    return ranges;
  }

  /// A site that one operand alone reads, and reads whole, is taken in by the sum. Inputs stay what they are.
  void absorb() {
    for (Site& site : sites_.all) {
      const Origin& origin = flow_.origins[static_cast<size_t>(site.origin)];
      if (site.reads.size() != 1 || origin.kind == Origin::Kind::kInput) {
        continue;
      }
      const int32_t position = site.reads[0];
      if (flow_.reads[static_cast<size_t>(position)].kind != Read::Kind::kOperand) {
        continue;
      }
      const auto met = sites_.relations[static_cast<size_t>(position)].met(origin.features);
      const auto inside = [&](int64_t feature) { return feature >= site.first && feature < site.first + site.count; };
      if (met.has_value() && std::count_if(met->begin(), met->end(), inside) == site.count) {
        site.absorbed = position;
      }
    }
  }

  const Flow& flow_;
  Sites sites_;
  std::vector<std::vector<int32_t>> reads_of_;
};

void collect(const Flow& flow, const Sites& sites, int32_t site, const std::vector<int32_t>& path,
             std::vector<Producer>& producers) {
  const int32_t position = sites.all[static_cast<size_t>(site)].origin;
  const Origin& origin = flow.origins[static_cast<size_t>(position)];
  for (const Writer& writer : origin.writers) {
    producers.push_back({path, site, &writer});
  }
  if (origin.kind != Origin::Kind::kSum) {
    return;
  }
  for (size_t i = 0; i < flow.reads.size(); ++i) {
    const Read& read = flow.reads[i];
    if (read.sum != position) {
      continue;
    }
    std::vector<int32_t> further = path;
    further.push_back(static_cast<int32_t>(i));
    const auto& from = sites.of_origin[static_cast<size_t>(read.value.origin)];
    if (from.empty()) {
      producers.push_back({further, -1, nullptr});
    }
    for (const int32_t operand : from) {
      const Site& other = sites.all[static_cast<size_t>(operand)];
      if (other.absorbed == static_cast<int32_t>(i)) {
        collect(flow, sites, operand, further, producers);
      } else if (std::find(other.reads.begin(), other.reads.end(), static_cast<int32_t>(i)) != other.reads.end()) {
        producers.push_back({further, operand, nullptr});
      }
    }
  }
}

}  // namespace

Sites find_sites(const Flow& flow) { return Finder(flow).run(); }

std::vector<Producer> producers_of(const Flow& flow, const Sites& sites, int32_t site) {
  std::vector<Producer> producers;
  collect(flow, sites, site, {}, producers);
  return producers;
}

}  // namespace dynascope::network
