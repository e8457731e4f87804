// SPDX-License-Identifier: BSD-3-Clause
#include "flow_builder.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace dynascope::network {
namespace {

std::string spelled(const std::vector<int64_t>& sizes) {
  std::string text = "[";
  for (const int64_t size : sizes) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + "]";
}

bool same_map(const Atom& a, const Atom& b) {
  return a.base == b.base && a.made == b.made && a.size == b.size && a.before == b.before &&
         a.coefficients == b.coefficients;
}

}  // namespace

Axis leaves_of(const Flow& flow, const Axis& axis) {
  Axis result;
  for (const AtomId id : axis) {
    const Axis& parts = flow.atoms[static_cast<size_t>(id)].parts;
    if (parts.empty()) {
      result.push_back(id);
    } else {
      const Axis inner = leaves_of(flow, parts);
      result.insert(result.end(), inner.begin(), inner.end());
    }
  }
  return result;
}

Axis FlowBuilder::leaves(const Axis& axis) const { return leaves_of(flow, axis); }

AtomId FlowBuilder::add(Atom atom) {
  flow.atoms.push_back(std::move(atom));
  return static_cast<AtomId>(flow.atoms.size()) - 1;
}

// The same map of the same atom is the same atom: two readers behind equal pooling see one node layer.
AtomId FlowBuilder::derive(Atom atom) {
  for (size_t id = 0; id < flow.atoms.size(); ++id) {
    if (atom.made != Atom::Made::kSelected && same_map(flow.atoms[id], atom)) {
      return static_cast<AtomId>(id);
    }
  }
  return add(std::move(atom));
}

int64_t FlowBuilder::size(const Axis& axis) const {
  return std::accumulate(axis.begin(), axis.end(), int64_t{1}, [this](int64_t product, AtomId id) {
    return product * flow.atoms[static_cast<size_t>(id)].size;
  });
}

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

Axis FlowBuilder::fresh(const Axis& axis) {
  Axis result;
  for (const AtomId id : leaves(axis)) {
    Atom atom;
    atom.size = flow.atoms[static_cast<size_t>(id)].size;
    result.push_back(add(std::move(atom)));
  }
  return result;
}

Activation FlowBuilder::input(std::string name, const std::vector<int64_t>& sizes, bool given, bool no_batch) {
  Origin origin;
  origin.kind = Origin::Kind::kInput;
  origin.name = std::move(name);
  origin.given = given;
  origin.no_batch = no_batch;
  for (const int64_t size : sizes) {
    Atom atom;
    atom.size = size;
    origin.dims.push_back({add(std::move(atom))});
  }
  flow.origins.push_back(origin);
  return {static_cast<int32_t>(flow.origins.size()) - 1, origin.dims, {}};
}

Activation FlowBuilder::unknown(std::string operation, const std::vector<int64_t>& sizes,
                                std::vector<int32_t> sources) {
  Activation value = input(std::move(operation), sizes, false, false);
  flow.origins.back().kind = Origin::Kind::kUnknown;
  flow.origins.back().sources = std::move(sources);
  return value;
}

Activation FlowBuilder::reshape(const Activation& value, const std::vector<int64_t>& sizes) {
  Axis atoms;
  for (const Axis& axis : value.dims) {
    const Axis inner = leaves(axis);
    atoms.insert(atoms.end(), inner.begin(), inner.end());
  }
  if (std::count(sizes.begin(), sizes.end(), 0) != 0) {
    throw NotFollowed("a tensor without elements takes another shape");
  }
  Activation result{value.origin, std::vector<Axis>(sizes.size()), value.gone};
  size_t next = 0;
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    int64_t missing = sizes[dim];
    const bool last = dim + 1 == sizes.size();
    if (missing == 1 && next < atoms.size() && flow.atoms[static_cast<size_t>(atoms[next])].size == 1) {
      result.dims[dim].push_back(atoms[next++]);
    }
    while (next < atoms.size() && (missing > 1 || (last && flow.atoms[static_cast<size_t>(atoms[next])].size == 1))) {
      const AtomId id = atoms[next];
      const int64_t size = flow.atoms[static_cast<size_t>(id)].size;
      if (missing % size == 0) {
        missing /= size;
        ++next;
        result.dims[dim].push_back(id);
      } else if (size % missing == 0) {
        Atom outer, inner;
        outer.made = inner.made = Atom::Made::kPart;
        outer.base = inner.base = id;
        outer.size = missing;
        inner.size = size / missing;
        const AtomId first = add(std::move(outer));
        const AtomId second = add(std::move(inner));
        flow.atoms[static_cast<size_t>(id)].parts = {first, second};
        result.dims[dim].push_back(first);
        atoms[next] = second;
        missing = 1;
      } else {
        missing = -1;
        break;
      }
    }
    if (missing != 1) {
      throw NotFollowed("units cannot be followed from shape " + spelled(this->sizes(value)) + " to " + spelled(sizes));
    }
  }
  if (next != atoms.size()) {
    throw NotFollowed("shape " + spelled(this->sizes(value)) + " does not fit " + spelled(sizes));
  }
  return result;
}

Activation FlowBuilder::permute(const Activation& value, const std::vector<int64_t>& order) const {
  Activation result{value.origin, {}, value.gone};
  for (const int64_t dim : order) {
    result.dims.push_back(value.dims.at(static_cast<size_t>(dim)));
  }
  return result;
}

Activation FlowBuilder::squeeze(const Activation& value, size_t dim) const {
  Activation result = value;
  const Axis axis = leaves(result.dims.at(dim));
  result.gone.insert(result.gone.end(), axis.begin(), axis.end());
  result.dims.erase(result.dims.begin() + static_cast<std::ptrdiff_t>(dim));
  return result;
}

Activation FlowBuilder::unsqueeze(const Activation& value, size_t dim) const {
  Activation result = value;
  result.dims.insert(result.dims.begin() + static_cast<std::ptrdiff_t>(dim), Axis{});
  return result;
}

AtomId FlowBuilder::only_atom(const Axis& axis, const char* what) const {
  Axis atoms = leaves(axis);
  if (atoms.size() > 1) {  // cells of size 1 beside the axis proper do not matter
    atoms.erase(std::remove_if(atoms.begin(), atoms.end(),
                               [this](AtomId id) { return flow.atoms[static_cast<size_t>(id)].size == 1; }),
                atoms.end());
  }
  if (axis.size() == 1) {
    return axis[0];
  }
  if (atoms.size() != 1) {
    throw NotFollowed(std::string(what) + " along an axis that a view made of several");
  }
  return atoms[0];
}

Activation FlowBuilder::resample(const Activation& value, size_t dim, const Resampling& resampling) {
  Activation result = value;
  if (resampling.seen == 1 &&
      std::all_of(resampling.coefficients.begin(), resampling.coefficients.end(),
                  [&](double c) { return c == resampling.coefficients[0]; }) &&
      resampling.coefficients[0] == 1.0 / static_cast<double>(resampling.produced)) {
    return average(value, dim);
  }
  Atom atom;
  atom.made = Atom::Made::kResampled;
  atom.size = resampling.seen;
  atom.base = only_atom(value.dims.at(dim), "resampling");
  atom.coefficients = resampling.coefficients;
  result.dims[dim] = {derive(std::move(atom))};
  return result;
}

Activation FlowBuilder::average(const Activation& value, size_t dim) {
  Activation result = value;
  result.dims[dim].clear();
  const Axis& axis = value.dims[dim];
  for (const AtomId id : axis.size() == 1 ? axis : leaves(axis)) {
    Atom atom;
    atom.made = Atom::Made::kAveraged;
    atom.base = id;
    const int64_t size = flow.atoms[static_cast<size_t>(id)].size;
    atom.coefficients.assign(static_cast<size_t>(size), 1.0 / static_cast<double>(size));
    result.dims[dim].push_back(derive(std::move(atom)));
  }
  return result;
}

Activation FlowBuilder::pad(const Activation& value, size_t dim, int64_t before, int64_t after) {
  if (before < 0 || after < 0) {
    throw NotFollowed("negative padding drops units");
  }
  Activation result = value;
  Atom atom;
  atom.made = Atom::Made::kPadded;
  atom.base = only_atom(value.dims.at(dim), "padding");
  atom.size = before + after + flow.atoms[static_cast<size_t>(atom.base)].size;
  atom.before = before;
  result.dims[dim] = {derive(std::move(atom))};
  return result;
}

Activation FlowBuilder::select(const Activation& value, size_t dim, int64_t count) {
  Activation result = value;
  Atom atom;
  atom.made = Atom::Made::kSelected;
  atom.base = only_atom(value.dims.at(dim), "selecting");
  atom.size = count;
  result.dims[dim] = {add(std::move(atom))};
  return result;
}

Activation FlowBuilder::write(Origin origin, Use use, Read read) {
  const auto position = static_cast<int32_t>(flow.uses.size());
  origin.kind = Origin::Kind::kWeight;
  origin.use = position;
  origin.sources = {read.value.origin};
  read.use = position;
  use.read = static_cast<int32_t>(flow.reads.size());
  use.origin = static_cast<int32_t>(flow.origins.size());
  Activation value{use.origin, origin.dims, {}};
  flow.reads.push_back(std::move(read));
  flow.origins.push_back(std::move(origin));
  flow.uses.push_back(std::move(use));
  return value;
}

Activation FlowBuilder::linear(const Activation& source, size_t dim, Use use) {
  Read read;
  read.kind = Read::Kind::kLinear;
  read.value = source;
  read.features = source.dims.at(dim);
  Origin origin;
  for (size_t i = 0; i < source.dims.size(); ++i) {
    if (i == dim) {
      Atom atom;
      atom.size = use.layer.weight.size(use.layer.transposed ? 1 : 0);
      origin.dims.push_back({add(std::move(atom))});
    } else {
      origin.dims.push_back(fresh(source.dims[i]));
    }
  }
  origin.features = origin.dims[dim];
  return write(std::move(origin), std::move(use), std::move(read));
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
  Atom channels;
  channels.size = use.layer.weight.size(use.layer.transposed ? 1 : 0) * (use.layer.transposed ? use.layer.groups : 1);
  origin.features = {add(std::move(channels))};
  origin.dims.push_back(origin.features);
  for (size_t axis = 0; axis < convolution.output.size(); ++axis) {
    Axis& seen = read.value.dims.at(dim + 1 + axis);
    // Constant cells around the input are no units: the convolution's own padding says the same.
    while (seen.size() == 1 && flow.atoms[static_cast<size_t>(seen[0])].made == Atom::Made::kPadded) {
      if (use.layer.transposed) {
        throw NotFollowed("a transposed convolution reads a padded tensor");
      }
      const Atom& atom = flow.atoms[static_cast<size_t>(seen[0])];
      convolution.padding[axis] += atom.before;
      seen = {atom.base};
    }
    read.positions.push_back(seen);
    use.layer.axes.push_back({size(seen), convolution.output[axis],
                              use.layer.weight.size(static_cast<int64_t>(axis) + 2), convolution.stride[axis],
                              convolution.padding[axis], convolution.dilation[axis]});
    Atom atom;
    atom.size = convolution.output[axis];
    origin.positions.push_back({add(std::move(atom))});
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

void FlowBuilder::read_by_unknown(const Activation& value, std::string operation, std::string reason) {
  Read read;
  read.kind = Read::Kind::kUnknown;
  read.value = value;
  read.operation = std::move(operation);
  read.reason = std::move(reason);
  flow.reads.push_back(std::move(read));
}

}  // namespace dynascope::network
