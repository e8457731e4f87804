// SPDX-License-Identifier: BSD-3-Clause
#include "placement.hpp"

#include "atoms.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

const Origin& origin_of(const Flow& flow, const Candidate& candidate) {
  return flow.origins[static_cast<size_t>(candidate.origin)];
}

/// Whoever touches a weight that is not placed is not written.
void mark_loops(const Flow& flow, const AllEnds& ends, std::vector<Candidate>& candidates) {
  for (size_t use = 0; use < flow.uses.size(); ++use) {
    if (flow.uses[use].loop.empty()) {
      continue;
    }
    for (const Part& part : ends.of_use[use]) {
      for (const auto* contacts : {&part.ends.sources, &part.ends.targets}) {
        for (const Contact& contact : *contacts) {
          candidates[static_cast<size_t>(contact.candidate)].problem =
              flow.uses[use].layer.name + " is " + flow.uses[use].loop;
        }
      }
    }
  }
}

NodeLayer node_layer(const Flow& flow, const Sites& sites, const Candidate& candidate, const std::string& name) {
  NodeLayer layer;
  layer.name = name;
  layer.input = origin_of(flow, candidate).kind == Origin::Kind::kInput;
  layer.output = std::any_of(candidate.reads.begin(), candidate.reads.end(), [&](int32_t read) {
    return flow.reads[static_cast<size_t>(read)].kind == Read::Kind::kOutput;
  });
  layer.role = layer.output ? Role::kOutput : layer.input ? Role::kInput : Role::kHidden;
  for (const Axis& axis : candidate.axes) {
    layer.shape.push_back(size_of(flow, axis));
  }
  const Site& site = sites.all[static_cast<size_t>(candidate.site)];
  if (site.part) {
    layer.shape[0] = site.count;
  }
  return layer;
}

std::vector<int32_t> write_node_layers(const Flow& flow, const Sites& sites, const std::vector<Candidate>& candidates,
                                       Network& network) {
  const std::vector<std::string> names = name_candidates(flow, sites, candidates);
  std::vector<int32_t> positions;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i].problem.empty()) {
      positions.push_back(-1);
      network.skipped.push_back({names[i], candidates[i].problem});
      continue;
    }
    positions.push_back(static_cast<int32_t>(network.node_layers.size()));
    network.node_layers.push_back(node_layer(flow, sites, candidates[i], names[i]));
  }
  return positions;
}

/// Sources that are written, and targets: what the sources link to stays known where a target is not written.
void attach(Ends ends, const std::vector<int32_t>& positions, std::vector<LinkEnd>& sources,
            std::vector<LinkEnd>& targets) {
  for (Contact& contact : ends.sources) {
    contact.end.node_layer = positions[static_cast<size_t>(contact.candidate)];
    if (contact.end.node_layer >= 0) {
      sources.push_back(std::move(contact.end));
    }
  }
  for (Contact& contact : ends.targets) {
    contact.end.node_layer = positions[static_cast<size_t>(contact.candidate)];
    targets.push_back(std::move(contact.end));
  }
  const bool all_gone = std::all_of(targets.begin(), targets.end(),
                                    [](const LinkEnd& end) { return end.node_layer < 0 && end.resampling.empty(); });
  if (all_gone) {
    targets.clear();
  }
}

at::Tensor rows_of(const WeightLayer& whole, const Part& part) {
  if (!whole.transposed) {
    return whole.weight.narrow(0, part.first, part.count);
  }
  const int64_t inputs = whole.weight.size(0) / whole.groups, outputs = whole.weight.size(1);
  const at::Tensor weight = whole.weight.narrow(0, part.first_group * inputs, part.groups * inputs);
  return part.count < part.groups * outputs ? weight.narrow(1, part.first - part.first_group * outputs, part.count)
                                            : weight;
}

WeightLayer part_of(const Use& use, const Part& part) {
  const WeightLayer& whole = use.layer;
  WeightLayer layer = whole;
  if (part.count >= 0) {
    layer.weight = rows_of(whole, part);
    layer.groups = part.groups;
    layer.bias = whole.bias.defined() ? whole.bias.narrow(0, part.first, part.count) : whole.bias;
  }
  if (part.inputs >= 0) {
    layer.weight = layer.weight.narrow(whole.transposed ? 0 : 1, part.first_input, part.inputs);
    layer.bias = part.bias ? layer.bias : at::Tensor();
  }
  if (part.count >= 0 || part.inputs >= 0) {
    const Unranged rows = unranged(whole.name, use);
    const bool all = part.count < 0 && rows.name == whole.name;
    const int64_t count = part.count < 0 ? whole.weight.size(0) : part.count;
    layer.name = rows.name + "[" + (all ? ":" : range_text(rows.first + part.first, count)) +
                 (part.inputs >= 0 ? ", " + range_text(part.first_input, part.inputs) : "") + "]";
  }
  return layer;
}

void write_weight_layers(const Flow& flow, const AllEnds& ends, const std::vector<int32_t>& positions,
                         Network& network) {
  std::set<std::string> taken, loops;
  for (size_t i = 0; i < flow.uses.size(); ++i) {
    const Use& use = flow.uses[i];
    if (!use.loop.empty()) {
      if (loops.insert(use.layer.name).second) {
        network.skipped.push_back({use.layer.name, use.loop});
        network.weight_layers.push_back(use.layer);
        taken.insert(use.layer.name);
      }
      continue;
    }
    for (const Part& part : ends.of_use[i]) {
      WeightLayer layer = part_of(use, part);
      attach(part.ends, positions, layer.sources, layer.targets);
      layer.name = make_distinct(layer.name, taken);
      if (part.constant) {
        network.skipped.push_back({layer.name, "it reads constants"});
      }
      network.weight_layers.push_back(std::move(layer));
    }
  }
}

void write_identity_layers(const AllEnds& ends, const std::vector<int32_t>& positions, Network& network) {
  for (const Ends& own : ends.identities) {
    IdentityLayer layer;
    attach(own, positions, layer.sources, layer.targets);
    if (!layer.sources.empty() || !layer.targets.empty()) {
      network.identity_layers.push_back(std::move(layer));
    }
  }
}

}  // namespace

Network place(Flow flow) {
  find_loops(flow);
  resolve_joins(flow);
  const Sites sites = find_sites(flow);
  Atoms atoms(flow);
  std::vector<Candidate> candidates = find_candidates(flow, sites, atoms);
  const AllEnds ends = find_ends(flow, sites, atoms, candidates);
  mark_loops(flow, ends, candidates);

  Network network;
  network.skipped = flow.skipped;
  network.parameters = flow.parameters;
  network.computed = flow.computed;
  const std::vector<int32_t> positions = write_node_layers(flow, sites, candidates, network);
  write_weight_layers(flow, ends, positions, network);
  write_identity_layers(ends, positions, network);
  return network;
}

}  // namespace dynascope::network
