// SPDX-License-Identifier: BSD-3-Clause
#include "placement.hpp"

#include <map>
#include <set>
#include <string>

namespace dynascope::network {

// A use of a weight on what derives from an earlier output of the same weight is a step in time, not a layer of its
// own. The module that the weight belongs to then is a cell: its other weights, used as often, are steps too. A weight
// read the other way round (the decoder of a tied autoencoder) is not its module again: that is a layer of its own.
// What feeds a cell and is used again while it runs (the input weights of a cell written by hand) is a step as well:
// its links would be counted once per step.
void find_loops(Flow& flow) {
  std::map<std::string, std::set<int32_t>> uses;
  std::vector<std::set<std::string>> before(flow.origins.size());  // weights that an origin derives from
  std::set<std::string> cells;

  for (size_t position = 0; position < flow.origins.size(); ++position) {
    const Origin& origin = flow.origins[position];
    for (const int32_t from : origin.sources) {
      before[position].insert(before[static_cast<size_t>(from)].begin(), before[static_cast<size_t>(from)].end());
    }
    for (const Writer& writer : origin.writers) {
      const Use& use = flow.uses[static_cast<size_t>(writer.use)];
      const std::string weight = use.layer.name + (use.layer.transposed ? " transposed" : "");
      if (before[position].count(weight) != 0) {
        cells.insert(use.owner);
      }
      uses[weight].insert(writer.use);
    }
    for (const Writer& writer : origin.writers) {
      const Use& use = flow.uses[static_cast<size_t>(writer.use)];
      before[position].insert(use.layer.name + (use.layer.transposed ? " transposed" : ""));
    }
  }
  const auto owner_of = [&](const std::set<int32_t>& positions) {
    return flow.uses[static_cast<size_t>(*positions.begin())].owner;
  };
  std::set<std::string> looped;
  std::set<int32_t> steps;  // uses of looped weights
  for (const auto& [weight, positions] : uses) {
    if (positions.size() > 1 && cells.count(owner_of(positions)) != 0) {
      looped.insert(weight);
      steps.insert(positions.begin(), positions.end());
    }
  }
  std::set<std::string> feeding;
  for (const int32_t step : steps) {
    const auto& from = before[static_cast<size_t>(flow.uses[static_cast<size_t>(step)].origin)];
    feeding.insert(from.begin(), from.end());
  }
  for (const auto& [weight, positions] : uses) {
    const bool inside = feeding.count(weight) != 0 && !steps.empty() && *positions.rbegin() > *steps.begin();
    for (const int32_t position : positions) {
      Use& use = flow.uses[static_cast<size_t>(position)];
      if (looped.count(weight) != 0) {
        use.loop = "used again on what derives from its own output: a recurrent layer, which is not placed";
      } else if (positions.size() > 1 && inside) {
        use.loop = "used again at every step of a recurrent layer, which is not placed";
      }
    }
  }
}

}  // namespace dynascope::network
