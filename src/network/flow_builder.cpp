// SPDX-License-Identifier: BSD-3-Clause
#include "flow_builder.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

using Made = Atom::Made;

bool shares_one(const Axis& a, const std::vector<AtomId>& b) {
  return std::any_of(a.begin(), a.end(), [&](AtomId id) { return std::find(b.begin(), b.end(), id) != b.end(); });
}

}  // namespace

int64_t FlowBuilder::size(const Axis& axis) const { return size_of(flow, axis); }

std::vector<int64_t> FlowBuilder::sizes(const Activation& value) const {
  std::vector<int64_t> result;
  for (const Axis& axis : value.dims) {
    result.push_back(size(axis));
  }
  return result;
}

bool FlowBuilder::same_units(const Activation& a, const Activation& b) const {
  if (a.origin != b.origin || a.dims.size() != b.dims.size()) {
    return false;
  }
  for (size_t dim = 0; dim < a.dims.size(); ++dim) {
    if (leaves(a.dims[dim]) != leaves(b.dims[dim])) {
      return false;
    }
  }
  return leaves(a.gone) == leaves(b.gone);
}

bool FlowBuilder::same_node_layer(const Activation& a, const Activation& b) const {
  if (a.origin != b.origin) {
    return false;
  }
  const Origin& origin = origin_of(a);
  if (origin.features.empty()) {
    return same_units(a, b);
  }
  Axis positions;
  for (const Axis& axis : origin.positions) {
    positions.insert(positions.end(), axis.begin(), axis.end());
  }
  const auto is_mean = [this](AtomId id) {
    return atom_of(flow, id).made == Made::kAveraged || atom_of(flow, id).made == Made::kResampled;
  };
  const auto kept = [&](const Axis& axis, bool& averaged) {
    Axis result;
    for (const AtomId id : leaves(axis)) {
      const std::vector<AtomId> made_of = ancestry(flow, {id});
      const bool feature = shares_one(origin.features, made_of);
      if (feature && std::any_of(made_of.begin(), made_of.end(), is_mean)) {
        averaged = true;
      } else if (feature || shares_one(positions, made_of)) {
        result.push_back(id);
      }
    }
    return result;
  };
  bool ignored = false;
  const size_t dims = std::max(a.dims.size(), b.dims.size());
  for (size_t i = 0; i < dims; ++i) {  // from the last axis on
    bool a_averaged = false, b_averaged = false;
    const Axis in_a = i < a.dims.size() ? kept(a.dims[a.dims.size() - 1 - i], a_averaged) : Axis();
    const Axis in_b = i < b.dims.size() ? kept(b.dims[b.dims.size() - 1 - i], b_averaged) : Axis();
    if (in_a != in_b && !(a_averaged && in_a.empty()) && !(b_averaged && in_b.empty())) {
      return false;
    }
  }
  return kept(a.gone, ignored) == kept(b.gone, ignored);
}

bool FlowBuilder::is_batch(const Axis& axis) const {
  const std::vector<AtomId> all = ancestry(flow, axis);
  return std::any_of(all.begin(), all.end(), [this](AtomId id) { return atom_of(flow, id).batch; });
}

Axis FlowBuilder::fresh(const Axis& axis) {
  Axis result;
  for (const AtomId id : leaves(axis)) {
    result.push_back(atoms_.produced(atom_of(flow, id).size, id));
    flow.atoms.back().batch = is_batch({id});
  }
  return result;
}

Activation FlowBuilder::add_origin(Origin origin) {
  flow.origins.push_back(std::move(origin));
  return {static_cast<int32_t>(flow.origins.size()) - 1, flow.origins.back().dims, {}};
}

Activation FlowBuilder::input(std::string name, const std::vector<int64_t>& sizes, bool given, bool no_batch) {
  Origin origin;
  origin.kind = Origin::Kind::kInput;
  origin.name = std::move(name);
  origin.given = given;
  origin.no_batch = no_batch;
  for (const int64_t size : sizes) {
    origin.dims.push_back({atoms_.produced(size)});
  }
  if (!no_batch && sizes.size() > 1) {
    flow.atoms[static_cast<size_t>(origin.dims[0][0])].batch = true;
  }
  return add_origin(std::move(origin));
}

Activation FlowBuilder::unknown(std::string operation, const std::vector<int64_t>& sizes,
                                std::vector<int32_t> sources) {
  Activation value = input(std::move(operation), sizes, false, false);
  flow.origins.back().kind = Origin::Kind::kUnknown;
  flow.origins.back().sources = std::move(sources);
  return value;
}

int32_t FlowBuilder::add_use(Use use) {
  flow.uses.push_back(std::move(use));
  return static_cast<int32_t>(flow.uses.size()) - 1;
}

Activation FlowBuilder::write(Origin origin, Use use, Read read) {
  use.origin = static_cast<int32_t>(flow.origins.size());
  origin.kind = Origin::Kind::kWeight;
  origin.sources = {read.value.origin};
  read.use = add_use(std::move(use));
  origin.writers.push_back({read.use});
  flow.reads.push_back(std::move(read));
  return add_origin(std::move(origin));
}

Activation FlowBuilder::linear(const Activation& source, size_t dim, Use use) {
  Read read;
  read.kind = Read::Kind::kLinear;
  read.value = source;
  read.features = source.dims.at(dim);
  Origin origin;
  for (size_t i = 0; i < source.dims.size(); ++i) {
    origin.dims.push_back(i == dim ? Axis{atoms_.produced(use.layer.weight.size(use.layer.transposed ? 1 : 0))}
                                   : fresh(source.dims[i]));
  }
  origin.features = origin.dims[dim];
  return write(std::move(origin), std::move(use), std::move(read));
}

Activation FlowBuilder::look_up(const Activation& vocabulary, Use use, const std::vector<int64_t>& sizes) {
  Read read;
  read.kind = Read::Kind::kLinear;
  read.value = vocabulary;
  read.features = vocabulary.dims.at(0);
  Origin origin;
  for (const int64_t size : sizes) {
    origin.dims.push_back({atoms_.produced(size)});
  }
  origin.features = origin.dims.back();
  return write(std::move(origin), std::move(use), std::move(read));
}

Activation FlowBuilder::add_units(const Activation& source, std::string name, int64_t units) {
  Origin origin;
  origin.kind = Origin::Kind::kWeight;
  origin.name = std::move(name);
  origin.sources = {source.origin};
  for (size_t dim = 0; dim + 1 < source.dims.size(); ++dim) {
    origin.dims.push_back(fresh(source.dims[dim]));
  }
  origin.features = {atoms_.produced(units)};
  origin.dims.push_back(origin.features);
  return add_origin(std::move(origin));
}

void FlowBuilder::write_units(const Activation& units, const Activation& source, Use use, Writer writer) {
  use.origin = units.origin;
  writer.use = add_use(std::move(use));
  flow.origins[static_cast<size_t>(units.origin)].writers.push_back(writer);
  read_again(source, writer.use);
}

void FlowBuilder::read_again(const Activation& source, int32_t use) {
  Read read;
  read.kind = Read::Kind::kLinear;
  read.value = source;
  read.features = source.dims.back();
  read.use = use;
  flow.reads.push_back(std::move(read));
}

Activation FlowBuilder::convolve(const Activation& source, size_t dim, Use use, Convolution convolution) {
  Read read;
  read.kind = Read::Kind::kConvolution;
  read.value = source;
  read.features = source.dims.at(dim);
  Origin origin;
  for (size_t i = 0; i < dim; ++i) {
    origin.dims.push_back(fresh(source.dims[i]));
  }
  origin.features = {atoms_.produced(use.layer.weight.size(use.layer.transposed ? 1 : 0) *
                                     (use.layer.transposed ? use.layer.groups : 1))};
  origin.dims.push_back(origin.features);
  for (size_t axis = 0; axis < convolution.output.size(); ++axis) {
    Axis& seen = read.value.dims.at(dim + 1 + axis);
    // Constant cells around the input are no units: the convolution's own padding says the same.
    if (seen.size() == 1 && atom_of(flow, seen[0]).made == Made::kGathered && !use.layer.transposed) {
      const Atom atom = atom_of(flow, seen[0]);
      const auto first = std::find_if(atom.map.begin(), atom.map.end(), [](int64_t c) { return c >= 0; });
      const int64_t before = first - atom.map.begin();
      const int64_t cells = size(atom.base);
      bool padded = before + cells <= atom.size;
      for (int64_t i = 0; padded && i < atom.size; ++i) {
        padded = atom.map[static_cast<size_t>(i)] == (i >= before && i < before + cells ? i - before : -1);
      }
      if (padded) {
        convolution.padding[axis] += before;
        seen = atom.base;
      }
    }
    read.positions.push_back(seen);
    use.layer.axes.push_back({size(seen), convolution.output[axis],
                              use.layer.weight.size(static_cast<int64_t>(axis) + 2), convolution.stride[axis],
                              convolution.padding[axis], convolution.dilation[axis]});
    origin.positions.push_back({atoms_.produced(convolution.output[axis])});
    origin.dims.push_back(origin.positions.back());
  }
  return write(std::move(origin), std::move(use), std::move(read));
}

void FlowBuilder::output(const Activation& value) {
  Read read;
  read.kind = Read::Kind::kOutput;
  read.value = value;
  flow.reads.push_back(std::move(read));
}

void FlowBuilder::read_by_scores(const Activation& value) {
  Read read;
  read.kind = Read::Kind::kScores;
  read.value = value;
  flow.reads.push_back(std::move(read));
}

void FlowBuilder::read_by_unknown(const Activation& value, std::string operation, std::string reason) {
  Read read;
  read.kind = Read::Kind::kUnknown;
  read.value = value;
  read.operation = std::move(operation);
  read.reason = std::move(reason);
  flow.reads.push_back(std::move(read));
}

}  // namespace dynascope::network
