// SPDX-License-Identifier: BSD-3-Clause
#include "placement.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

/// A candidate's ends: of the weight layer that writes it, and of those that read it.
struct Ends {
  LinkEnd target;
  std::string target_problem;                        ///< why `target` is not known
  std::vector<std::pair<int32_t, LinkEnd>> sources;  ///< use, end
};

int64_t size_of(const Flow& flow, const Axis& axis) {
  int64_t size = 1;
  for (const AtomId id : axis) {
    size *= flow.atoms[static_cast<size_t>(id)].size;
  }
  return size;
}

bool same_axis(const Flow& flow, const Axis& a, const Axis& b) {
  std::string problem;
  const LinkEnd end = meet(flow, a, {b}, problem);
  return problem.empty() && !end.per_unit && size_of(flow, a) == size_of(flow, b);
}

/// What stands between the layer that writes and each position axis, empty when nothing does.
std::vector<Resampling> resamplings_of(const Flow& flow, const Candidate& candidate, std::string& problem) {
  std::vector<Resampling> result(candidate.axes.size() - 1);
  bool any = false;
  for (size_t i = 0; i < candidate.roots.size(); ++i) {
    const Axis& seen = candidate.seen[i];
    if (seen == Axis{candidate.roots[i]}) {
      continue;
    }
    const auto axis = std::find(candidate.axes.begin(), candidate.axes.end(), seen);
    if (axis == candidate.axes.end() || axis == candidate.axes.begin()) {
      problem = "it is resampled along its features, or along an axis that a view made, which is not placed";
      return {};
    }
    any = true;
    result[static_cast<size_t>(axis - candidate.axes.begin()) - 1] =
        resampling_of(flow, candidate.roots[i], seen, problem);
  }
  return any ? result : std::vector<Resampling>();
}

void find_target(const Flow& flow, const Candidate& candidate, Ends& ends) {
  const Origin& origin = flow.origins[static_cast<size_t>(candidate.origin)];
  if (origin.kind != Origin::Kind::kWeight) {
    return;
  }
  std::vector<Resampling> resampling = resamplings_of(flow, candidate, ends.target_problem);
  if (ends.target_problem.empty()) {
    ends.target = meet(flow, origin.features, candidate.axes, ends.target_problem);
    ends.target.resampling = std::move(resampling);
  }
  if (ends.target.per_unit && (candidate.resampled || !origin.positions.empty())) {
    ends.target_problem = "its readers see its channels in another shape, which is not placed";
  }
}

void find_sources(const Flow& flow, Candidate& candidate, Ends& ends) {
  for (const int32_t position : candidate.reads) {
    const Read& read = flow.reads[static_cast<size_t>(position)];
    if (read.kind == Read::Kind::kLinear) {
      ends.sources.emplace_back(read.use, meet(flow, read.features, candidate.axes, candidate.problem));
    } else if (read.kind == Read::Kind::kConvolution) {
      bool same =
          read.positions.size() + 1 == candidate.axes.size() && same_axis(flow, read.features, candidate.axes[0]);
      for (size_t axis = 0; same && axis < read.positions.size(); ++axis) {
        same = same_axis(flow, read.positions[axis], candidate.axes[axis + 1]);
      }
      if (!same) {
        candidate.problem = "a convolution reads it in another shape than its neighbours, which is not placed";
      }
      ends.sources.emplace_back(read.use, LinkEnd{});
    }
  }
}

/// Whoever touches a weight that is not placed is not written.
void mark_loops(const Flow& flow, std::vector<Candidate>& candidates) {
  const auto blame = [&](Candidate& candidate, int32_t position) {
    if (position >= 0) {
      const Use& use = flow.uses[static_cast<size_t>(position)];
      if (!use.loop.empty()) {
        candidate.problem = use.layer.name + " is " + use.loop;
      }
    }
  };
  for (Candidate& candidate : candidates) {
    blame(candidate, flow.origins[static_cast<size_t>(candidate.origin)].use);
    for (const int32_t read : candidate.reads) {
      blame(candidate, flow.reads[static_cast<size_t>(read)].use);
    }
  }
}

/// A convolution links a unit to positions: whoever makes other positions of them changes the coefficients.
bool is_resampled_by_unknown(const Flow& flow, const Candidate& candidate) {
  return !flow.origins[static_cast<size_t>(candidate.origin)].positions.empty() &&
         std::any_of(candidate.reads.begin(), candidate.reads.end(),
                     [&](int32_t read) { return flow.reads[static_cast<size_t>(read)].may_resample; });
}

/// A node layer needs to know what its links lead to: through resampling nobody knows, it does not.
void spread(const Flow& flow, std::vector<Candidate>& candidates, const std::vector<Ends>& ends) {
  for (size_t i = 0; i < candidates.size(); ++i) {
    const bool unknown = is_resampled_by_unknown(flow, candidates[i]);
    if (ends[i].target_problem.empty() && !unknown) {
      continue;
    }
    if (candidates[i].problem.empty()) {
      candidates[i].problem = ends[i].target_problem;
    }
    const int32_t use = flow.origins[static_cast<size_t>(candidates[i].origin)].use;
    for (size_t source = 0; (candidates[i].resampled || unknown) && source < candidates.size(); ++source) {
      const auto links = std::find_if(ends[source].sources.begin(), ends[source].sources.end(),
                                      [use](const auto& end) { return end.first == use; });
      if (links != ends[source].sources.end() && candidates[source].problem.empty()) {
        candidates[source].problem =
            "what " + flow.uses[static_cast<size_t>(use)].layer.name + " makes of it is not placed";
      }
    }
  }
}

std::vector<int32_t> write_node_layers(const Flow& flow, const std::vector<Candidate>& candidates,
                                       const std::vector<std::string>& names, Network& network) {
  std::vector<int32_t> positions;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    if (!candidate.problem.empty()) {
      positions.push_back(-1);
      network.skipped.push_back({names[i], candidate.problem});
      continue;
    }
    NodeLayer layer;
    layer.name = names[i];
    layer.input = flow.origins[static_cast<size_t>(candidate.origin)].kind == Origin::Kind::kInput;
    layer.output = std::any_of(candidate.reads.begin(), candidate.reads.end(), [&](int32_t read) {
      return flow.reads[static_cast<size_t>(read)].kind == Read::Kind::kOutput;
    });
    layer.role = layer.output ? Role::kOutput : layer.input ? Role::kInput : Role::kHidden;
    for (const Axis& axis : candidate.axes) {
      layer.shape.push_back(size_of(flow, axis));
    }
    positions.push_back(static_cast<int32_t>(network.node_layers.size()));
    network.node_layers.push_back(std::move(layer));
  }
  return positions;
}

bool is_plain(const LinkEnd& end) { return end.resampling.empty(); }

void attach(const Flow& flow, const std::vector<Candidate>& candidates, std::vector<Ends>& ends,
            const std::vector<int32_t>& positions, std::vector<WeightLayer>& layers) {
  for (size_t i = 0; i < candidates.size(); ++i) {
    const int32_t use = flow.origins[static_cast<size_t>(candidates[i].origin)].use;
    if (use >= 0 && ends[i].target_problem.empty()) {
      ends[i].target.node_layer = positions[i];
      layers[static_cast<size_t>(use)].targets.push_back(std::move(ends[i].target));
    }
    for (auto& [reader, end] : ends[i].sources) {
      if (positions[i] >= 0) {
        end.node_layer = positions[i];
        layers[static_cast<size_t>(reader)].sources.push_back(std::move(end));
      }
    }
  }
  for (WeightLayer& layer : layers) {
    if (layer.targets.size() == 1 && layer.targets[0].node_layer < 0 && is_plain(layer.targets[0])) {
      layer.targets.clear();
    }
  }
}

void write_weight_layers(const Flow& flow, std::vector<WeightLayer> layers, Network& network) {
  std::set<std::string> taken;
  std::set<std::string> loops;
  for (size_t i = 0; i < layers.size(); ++i) {
    WeightLayer& layer = layers[i];
    if (!flow.uses[i].loop.empty()) {
      if (!loops.insert(layer.name).second) {
        continue;
      }
      network.skipped.push_back({layer.name, flow.uses[i].loop});
      layer.sources.clear();
      layer.targets.clear();
    }
    layer.name = make_distinct(layer.name, taken);
    network.weight_layers.push_back(std::move(layer));
  }
}

}  // namespace

Network place(Flow flow) {
  find_loops(flow);
  std::vector<Candidate> candidates = find_candidates(flow);
  std::vector<Ends> ends(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    find_target(flow, candidates[i], ends[i]);
    find_sources(flow, candidates[i], ends[i]);
  }
  mark_loops(flow, candidates);
  spread(flow, candidates, ends);

  Network network;
  network.skipped = flow.skipped;
  network.parameters = flow.parameters;
  const std::vector<int32_t> positions =
      write_node_layers(flow, candidates, name_candidates(flow, candidates), network);
  std::vector<WeightLayer> layers;
  for (const Use& use : flow.uses) {
    layers.push_back(use.layer);
  }
  attach(flow, candidates, ends, positions, layers);
  write_weight_layers(flow, std::move(layers), network);
  return network;
}

}  // namespace dynascope::network
