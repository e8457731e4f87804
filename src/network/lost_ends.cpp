// SPDX-License-Identifier: BSD-3-Clause
// Node layers that are not written because what their links lead to is not known.
#include "end_finder.hpp"

#include <algorithm>

namespace dynascope::network {

void EndFinder::blame(int32_t position, const std::string& problem) {
  std::string& noted = candidate(position).problem;
  noted = noted.empty() ? problem : noted;
}

int64_t EndFinder::positions(const Candidate& candidate, size_t axis) const {
  return axis + 1 < candidate.axes.size() ? size_of(flow_, candidate.axes[axis + 1]) : 1;
}

/// What links go to is part of them: sources whose positions do not fit what the targets resample are not placed.
void EndFinder::settle(const Ends& ends, bool convolution) {
  for (const Contact& target : ends.targets) {
    for (size_t d = 0; d < target.end.resampling.size(); ++d) {
      const Resampling& resampling = target.end.resampling[d];
      if (resampling.coefficients.empty()) {
        continue;
      }
      for (const Contact& source : ends.sources) {
        const int64_t cells = d < source.end.cells.size() && !source.end.cells[d].empty()
                                  ? static_cast<int64_t>(source.end.cells[d].size())
                                  : positions(candidate(source.candidate), d);
        if (!convolution && (source.end.per_unit ? resampling.produced != 1 : cells != resampling.produced)) {
          blame(source.candidate, "positions behind it are resampled in another shape, which is not placed");
        }
      }
    }
  }
}

/// What links lead to is part of them: behind a resampling that is not known, sources are not placed either.
void EndFinder::spread_losses() {
  for (const auto& [position, use] : lost_) {
    if (candidate(position).resampled) {
      spread(of_use_[static_cast<size_t>(use)], flow_.uses[static_cast<size_t>(use)].layer.name);
    }
  }
  for (size_t use = 0; use < of_use_.size(); ++use) {
    const Ends& ends = of_use_[use];
    const bool unknown = is_convolution(use) && std::any_of(ends.targets.begin(), ends.targets.end(),
                                                            [&](const Contact& c) { return is_lost(c.candidate); });
    if (unknown) {
      spread(ends, flow_.uses[use].layer.name);
    }
  }
  for (const Ends& ends : result_.identities) {
    if (std::any_of(ends.targets.begin(), ends.targets.end(), [&](const Contact& c) { return is_lost(c.candidate); })) {
      spread(ends, "a sum");
    }
  }
}

bool EndFinder::is_lost(int32_t position) {
  const Candidate& to = candidate(position);
  return to.axes.size() > 1 &&
         std::any_of(to.reads.begin(), to.reads.end(), [&](int32_t r) { return read(r).may_resample; });
}

void EndFinder::spread(const Ends& ends, const std::string& name) {
  for (const Contact& source : ends.sources) {
    blame(source.candidate, "what " + name + " makes of it is not placed");
  }
}

}  // namespace dynascope::network
