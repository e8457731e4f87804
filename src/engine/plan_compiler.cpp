// SPDX-License-Identifier: BSD-3-Clause
#include "plan_compiler.hpp"

#include "tree.hpp"

#include <dynascope/error.hpp>

#include <c10/util/accumulate.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace dynascope::engine {
namespace {

int64_t product(const std::vector<int64_t>& sizes, size_t first = 0) {
  int64_t result = 1;
  for (size_t i = first; i < sizes.size(); ++i) {
    result *= sizes[i];
  }
  return result;
}

// Multiplicities of stored units, row-major: the product of the class sizes.
std::vector<int64_t> multiplicities(int64_t channels, const std::vector<network::Classes>& axes) {
  std::vector<int64_t> positions = {1};
  for (const network::Classes& axis : axes) {
    std::vector<int64_t> finer;
    for (const int64_t outer : positions) {
      for (const int64_t size : axis.size) {
        finer.push_back(outer * size);
      }
    }
    positions = std::move(finer);
  }
  std::vector<int64_t> result;
  for (int64_t channel = 0; channel < channels; ++channel) {
    result.insert(result.end(), positions.begin(), positions.end());
  }
  return result;
}

// Terms are followed without looking: whatever they can reach must be there.
void check_range(const Contact& contact, const NodeLayer& node, int64_t count, int64_t sums) {
  const LinkEnd& end = *contact.end;
  std::vector<int64_t> firsts = end.order;
  if (firsts.empty() && count > 0) {
    firsts = {end.first, end.first + (count - 1) * end.stride};
  }
  for (const int64_t first : firsts) {
    const int64_t last = first + (end.blocks - 1) * end.block_stride;
    const bool absent = first == -1 && !end.order.empty();
    const int64_t lowest = std::min(first, last);
    const int64_t highest = std::max(first, last);
    if (end.blocks > 0 && !absent && (lowest < 0 || highest >= sums)) {
      throw Error("links of node layer " + node.name + " must end in the " + std::to_string(sums) +
                  (contact.outgoing ? " inputs" : " outputs") + " of their weight, got number " +
                  std::to_string(lowest < 0 ? lowest : highest));
    }
  }
}

}  // namespace

void PlanCompiler::run() {
  RunDescription& description = plan_.description_;
  description.metrics = plan_.options_.metrics;
  description.components = plan_.options_.components;
  description.histogram = plan_.options_.histogram;
  description.histogram_bins = plan_.options_.histogram_bins;
  description.skipped = plan_.network_.skipped;
  add_weight_layers();
  add_parameters();
  add_node_layers();
  add_connections();
  place();
}

void PlanCompiler::add_node_layers() {
  std::vector<Geometry> geometries = geometry_of(plan_.network_, plan_.options_.metrics);
  const bool by_unit = plan_.options_.metrics.granularity() == Granularity::kUnit;
  const bool one = plan_.options_.metrics.boundary() == Boundary::kOne;
  int64_t moments = static_cast<int64_t>(plan_.tiles_.size());
  for (size_t i = 0; i < geometries.size(); ++i) {
    const NodeLayer& node = plan_.network_.node_layers[i];
    const Geometry& geometry = geometries[i];
    if (node.shape.empty()) {
      throw Error("node layer " + node.name + " must have a channel axis, got no axes");
    }
    NodeLayerInfo info;
    info.name = node.name;
    info.role = node.role;
    info.shape = by_unit ? node.shape : std::vector<int64_t>{node.shape.front()};
    info.stored_shape = {node.shape.front()};
    info.classes.emplace_back();
    NodePlan plan{};
    std::array<int64_t, 3> classes = {1, 1, 1};
    for (size_t d = 0; d < geometry.axes.size(); ++d) {
      classes[d] = static_cast<int64_t>(geometry.axes[d].first.size());
      info.stored_shape.push_back(classes[d]);
      const bool compressed = classes[d] != node.shape[d + 1];
      info.classes.push_back(compressed ? geometry.axes[d].of : std::vector<int32_t>());
    }
    info.multiplicity = multiplicities(node.shape.front(), geometry.axes);
    plan.units = info.stored_units();
    plan.positions = classes[0] * classes[1] * classes[2];
    plan.in_constant = node.input && one ? 1.0 : 0.0;
    plan.out_constant = node.output && one ? 1.0 : 0.0;
    plan.multiplicity = static_cast<int64_t>(plan_.indices_.size());
    plan_.indices_.insert(plan_.indices_.end(), info.multiplicity.begin(), info.multiplicity.end());
    plan.first_term = static_cast<int32_t>(plan_.terms_.size());
    for (const Contact& contact : geometry.contacts) {
      add_terms(contact, node, classes);
    }
    plan.first_moments = moments;
    moments += (plan.units + kSummaryUnits - 1) / kSummaryUnits;
    plan.terms = static_cast<int32_t>(plan_.terms_.size()) - plan.first_term;
    plan_.nodes_.push_back(plan);
    plan_.description_.node_layers.push_back(std::move(info));
  }
  plan_.tables_.moment_count = moments;
}

void PlanCompiler::add_terms(const Contact& contact, const NodeLayer& node, const std::array<int64_t, 3>& classes) {
  constexpr int64_t kOneTap[3] = {1, 1, 1};
  if (contact.weight_layer < 0) {
    Term identity{};
    identity.sums = -1;
    identity.outgoing = contact.outgoing ? 1 : 0;
    identity.taps = 1;
    identity.coefficients = add_coefficients(contact.taps, kOneTap, classes);
    add_ends(identity, contact, node, INT64_MAX);
    return;
  }
  const WeightLayer& layer = plan_.network_.weight_layers[static_cast<size_t>(contact.weight_layer)];
  const LinkPlan& link = plan_.links_[static_cast<size_t>(contact.weight_layer)];
  const Matrix& weight = plan_.matrices_[static_cast<size_t>(link.first_matrix)];
  // The side of the weight that this end counts: its outputs, or inputs within groups. Where each group is one number
  // per tap they are the same, and kept once.
  const bool outputs = contact.outgoing == layer.transposed || weight.groups != layer.groups;
  const bool rows = outputs != is_turned(layer, weight);

  Term term{};
  term.sums = rows ? weight.row_sums : weight.column_sums;
  term.outgoing = contact.outgoing ? 1 : 0;
  term.taps = weight.taps;
  term.coefficients = add_coefficients(contact.taps, weight.kernel, classes);
  add_ends(term, contact, node, rows ? weight.rows : weight.groups * weight.columns);

  if (!contact.outgoing && link.matrices == 2) {
    const Matrix& bias = plan_.matrices_[static_cast<size_t>(link.first_matrix) + 1];
    term.sums = bias.column_sums;
    term.taps = 1;
    term.coefficients = add_coefficients(contact.bias, kOneTap, classes);
    add_ends(term, contact, node, bias.columns);
  }
}

// Products over the axes, (taps, positions). Of `tables`, each is (kernel, classes), or empty for ones.
int64_t PlanCompiler::add_coefficients(const AxisTables& tables, const int64_t (&kernel)[3],
                                       const std::array<int64_t, 3>& classes) {
  if (std::all_of(tables.begin(), tables.end(), [](const auto& table) { return table.empty(); })) {
    return -1;
  }
  const auto offset = static_cast<int64_t>(plan_.coefficients_.size());
  const auto taps = at::IntArrayRef(kernel);
  const auto at_axis = [&](size_t axis, int64_t tap, int64_t position) {
    return tables[axis].empty() ? 1.0 : tables[axis][static_cast<size_t>(tap * classes[axis] + position)];
  };
  for (int64_t tap = 0; tap < c10::multiply_integers(taps); ++tap) {
    for (int64_t position = 0; position < c10::multiply_integers(classes); ++position) {
      double product = at_axis(0, tap / (kernel[1] * kernel[2]), position / (classes[1] * classes[2]));
      product *= at_axis(1, tap / kernel[2] % kernel[1], position / classes[2] % classes[1]);
      product *= at_axis(2, tap % kernel[2], position % classes[2]);
      plan_.coefficients_.push_back(product);
    }
  }
  return offset;
}

// One term for a contact; for a channel that stands for many units of a flattened tensor, one for each way in which
// these follow each other.
void PlanCompiler::add_ends(const Term& term, const Contact& contact, const NodeLayer& node, int64_t sums) {
  const LinkEnd& end = *contact.end;
  const int64_t positions = product(node.shape, 1);
  const int64_t count = end.per_unit ? node.shape.front() * positions : node.shape.front();
  if (!end.order.empty() && static_cast<int64_t>(end.order.size()) != count) {
    throw Error("the order of links at node layer " + node.name + " must have " + std::to_string(count) +
                " entries, got " + std::to_string(end.order.size()));
  }
  check_range(contact, node, count, sums);

  Term affine = term;
  affine.first = end.first;
  affine.stride = end.stride;
  affine.blocks = end.blocks;
  affine.block_stride = end.block_stride;
  affine.order = -1;
  const bool by_channel = plan_.options_.metrics.granularity() == Granularity::kChannel;
  if (!end.per_unit || !by_channel) {
    affine.per_unit = end.per_unit ? 1 : 0;
    if (!end.order.empty()) {
      affine.order = static_cast<int64_t>(plan_.indices_.size());
      plan_.indices_.insert(plan_.indices_.end(), end.order.begin(), end.order.end());
    }
    plan_.terms_.push_back(affine);
    return;
  }
  if (end.order.empty()) {
    affine.stride = positions * end.stride;
    affine.blocks = positions;
    affine.block_stride = end.stride;
    for (int64_t block = 0; block < end.blocks; ++block) {
      affine.first = end.first + block * end.block_stride;
      plan_.terms_.push_back(affine);
    }
    return;
  }
  for (int64_t position = 0; position < positions; ++position) {
    affine.order = static_cast<int64_t>(plan_.indices_.size());
    for (int64_t channel = 0; channel < node.shape.front(); ++channel) {
      plan_.indices_.push_back(end.order[static_cast<size_t>(channel * positions + position)]);
    }
    plan_.terms_.push_back(affine);
  }
}

void PlanCompiler::add_connections() {
  std::set<std::tuple<int32_t, int32_t, int32_t>> known;
  const auto add = [&](const auto& layer, int32_t link) {
    for (const LinkEnd& source : layer.sources) {
      for (const LinkEnd& target : layer.targets) {
        if (source.node_layer >= 0 && target.node_layer >= 0 &&
            known.emplace(source.node_layer, target.node_layer, link).second) {
          plan_.description_.connections.push_back({source.node_layer, target.node_layer, link});
        }
      }
    }
  };
  for (size_t i = 0; i < plan_.network_.weight_layers.size(); ++i) {
    add(plan_.network_.weight_layers[i], static_cast<int32_t>(i));
  }
  for (const IdentityLayer& layer : plan_.network_.identity_layers) {
    add(layer, -1);
  }
}

void PlanCompiler::place() {
  plan_.layout_ = RowLayout(plan_.description_);
  const RowLayout& layout = plan_.layout_;
  const auto offset = [&](const std::string& path) {
    const Span* span = layout.find(path);
    return span == nullptr ? int64_t{-1} : span->offset;
  };
  plan_.tables_.offsets = {layout.at("/nodes/fluctuation").offset,
                           layout.at("/nodes/strength_mean").offset,
                           layout.at("/nodes/strength_min").offset,
                           layout.at("/nodes/strength_max").offset,
                           layout.at("/nodes/nonfinite").offset,
                           layout.at("/links/mean").offset,
                           layout.at("/links/std").offset,
                           layout.at("/links/min").offset,
                           layout.at("/links/max").offset,
                           layout.at("/links/abs_mean").offset,
                           layout.at("/links/norm").offset,
                           layout.at("/links/nonfinite").offset,
                           offset("/links/histogram")};
  const auto& nodes = plan_.description_.node_layers;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const std::string path = node_layer_path(i, nodes.size(), nodes[i].name);
    plan_.nodes_[i].strength = layout.at(path + "/strength").offset;
    plan_.nodes_[i].in_strength = offset(path + "/in_strength");
    plan_.nodes_[i].out_strength = offset(path + "/out_strength");
  }
  const auto& links = plan_.description_.weight_layers;
  for (size_t i = 0; i < links.size(); ++i) {
    const std::string path = weight_layer_path(i, links.size(), links[i].name);
    LinkPlan& link = plan_.links_[i];
    link.row_sum = offset(path + "/row_sum");
    link.column_sum = offset(path + "/column_sum");
    if (is_turned(plan_.network_.weight_layers[i], plan_.matrices_[static_cast<size_t>(link.first_matrix)])) {
      std::swap(link.row_sum, link.column_sum);
    }
  }
  for (size_t i = 0; i < plan_.copies_.size(); ++i) {
    plan_.copies_[i].target = layout.at("/parameters/" + escape_name(plan_.description_.parameters[i].name)).offset;
  }
}

}  // namespace dynascope::engine
