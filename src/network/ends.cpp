// SPDX-License-Identifier: BSD-3-Clause
// How weights and identity links meet node layers: the order of things, and what all of it counts with.
#include "end_finder.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {

bool shares_one(const std::set<AtomId>& some, const Axis& axis) {
  return std::any_of(axis.begin(), axis.end(), [&](AtomId id) { return some.count(id) != 0; });
}

void number(LinkEnd& end, const std::vector<int64_t>& order) {
  const auto count = static_cast<int64_t>(order.size());
  const int64_t first = order[0];
  const int64_t stride = count > 1 ? order[1] - order[0] : 1;
  bool affine = first >= 0 && stride >= 0;
  for (int64_t n = 0; affine && n < count; ++n) {
    affine = order[static_cast<size_t>(n)] == first + n * stride;
  }
  if (affine) {
    end.first = first;
    end.stride = stride;
  } else {
    end.order = order;
  }
}

std::vector<LinkEnd> ends_of(const Pairs& pairs, int64_t count, const LinkEnd& pattern) {
  std::vector<std::vector<int64_t>> orders;
  std::vector<size_t> used(static_cast<size_t>(count), 0);
  for (const auto& [unit, index] : pairs) {
    size_t& layer = used[static_cast<size_t>(unit)];
    if (layer == orders.size()) {
      orders.emplace_back(static_cast<size_t>(count), -1);
    }
    orders[layer++][static_cast<size_t>(unit)] = index;
  }
  std::vector<LinkEnd> ends;
  for (const std::vector<int64_t>& order : orders) {
    ends.push_back(pattern);
    number(ends.back(), order);
  }
  return ends;
}

EndFinder::EndFinder(Flow& flow, const Sites& sites, Atoms& atoms, std::vector<Candidate>& candidates)
    : flow_(flow), sites_(sites), atoms_(atoms), candidates_(candidates) {
  of_use_.resize(flow.uses.size());
  written_.resize(flow.uses.size());
  result_.of_use.resize(flow.uses.size());
}

AllEnds EndFinder::run() {
  find_constants();
  for (size_t i = 0; i < candidates_.size(); ++i) {
    for (const int32_t position : candidates_[i].reads) {
      add_source(static_cast<int32_t>(i), position);
    }
  }
  write_sources();
  for (size_t i = 0; i < candidates_.size(); ++i) {
    add_targets(static_cast<int32_t>(i));
  }
  for (size_t use = 0; use < of_use_.size(); ++use) {
    settle(of_use_[use], is_convolution(use));
  }
  refuse_reordered_sums();
  gather_identities();
  spread_losses();
  for (size_t use = 0; use < of_use_.size(); ++use) {
    take_apart(use);
  }
  return std::move(result_);
}

/// Units of a candidate: channels of its site, or all of them.
int64_t EndFinder::count_of(const Candidate& candidate, bool per_unit) const {
  const Site& site = site_of(candidate.site);
  int64_t channels = size_of(flow_, candidate.axes[0]);
  const int64_t rest = channels == 0 ? 0 : size_of(flow_, candidate.units()) / channels;
  channels = site.part ? site.count : channels;
  return per_unit ? channels * rest : channels;
}

/// Units of the whole origin to those of the site; those of other sites go.
void EndFinder::shift(Pairs& pairs, const Candidate& candidate, bool per_unit) const {
  const Site& site = site_of(candidate.site);
  if (!site.part) {
    return;
  }
  const int64_t rest = per_unit ? size_of(flow_, candidate.units()) / size_of(flow_, candidate.axes[0]) : 1;
  Pairs own;
  for (const auto& [unit, index] : pairs) {
    if (unit >= site.first * rest && unit < (site.first + site.count) * rest) {
      own.emplace_back(unit - site.first * rest, index);
    }
  }
  pairs = std::move(own);
}

EndFinder::Image EndFinder::along(const std::vector<int32_t>& path, const Candidate& from) {
  Image image{from.axes, {}, {}};
  for (const int32_t position : path) {
    Substitution substitution(flow_, atoms_, read(position).image);
    for (Axis& axis : image.axes) {
      axis = substitution.axis(axis);
    }
    image.gone = substitution.axis(image.gone);
    const Axis& gone = read(position).value.gone;
    image.gone.insert(image.gone.end(), gone.begin(), gone.end());
  }
  for (const Axis& axis : image.axes) {
    image.units.insert(image.units.end(), axis.begin(), axis.end());
  }
  return image;
}

Relation EndFinder::relation_of(const Image& image) const {
  Axis free = leaves_of(flow_, image.units);
  for (const AtomId id : leaves_of(flow_, image.gone)) {
    free.push_back(id);
  }
  return {flow_, free};
}

AllEnds find_ends(Flow& flow, const Sites& sites, Atoms& atoms, std::vector<Candidate>& candidates) {
  return EndFinder(flow, sites, atoms, candidates).run();
}

}  // namespace dynascope::network
