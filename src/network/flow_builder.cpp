// SPDX-License-Identifier: BSD-3-Clause
#include "flow_builder.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace dynascope::network {
namespace {

using Made = Atom::Made;

std::string spelled(const std::vector<int64_t>& sizes) {
  std::string text = "[";
  for (const int64_t size : sizes) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + "]";
}

bool is_uniform(const Resampling& resampling) {
  return std::all_of(resampling.coefficients.begin(), resampling.coefficients.end(),
                     [&](double c) { return c == resampling.coefficients[0]; });
}

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
  const auto kept = [&](const Axis& axis, bool& averaged) {
    Axis result;
    for (const AtomId id : leaves(axis)) {
      const std::vector<AtomId> made_of = ancestry(flow, {id});
      const bool feature = shares_one(origin.features, made_of);
      if (feature && atom_of(flow, id).made == Made::kAveraged) {
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

/// Views mostly split an atom, or put whole ones together.
std::optional<std::vector<Axis>> FlowBuilder::fit(Axis atoms, const std::vector<int64_t>& sizes) {
  std::vector<Axis> dims(sizes.size());
  size_t next = 0;
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    int64_t missing = sizes[dim];
    const bool last = dim + 1 == sizes.size();
    if (missing == 1 && next < atoms.size() && atom_of(flow, atoms[next]).size == 1) {
      dims[dim].push_back(atoms[next++]);
    }
    while (next < atoms.size() && (missing > 1 || (last && atom_of(flow, atoms[next]).size == 1))) {
      const AtomId id = atoms[next];
      const int64_t size = atom_of(flow, id).size;
      if (missing % size == 0) {
        missing /= size;
        ++next;
        dims[dim].push_back(id);
      } else if (size % missing == 0) {
        const Axis parts = atoms_.split(id, {missing, size / missing});
        dims[dim].push_back(parts[0]);
        atoms[next] = parts[1];
        missing = 1;
      } else {
        return {};
      }
    }
    if (missing != 1) {
      return {};
    }
  }
  return next == atoms.size() ? std::optional(dims) : std::nullopt;
}

/// The others are taken block by block: as few atoms and sizes as make the same number of cells.
std::vector<Axis> FlowBuilder::refit(const Axis& atoms, const std::vector<int64_t>& sizes) {
  std::vector<Axis> dims(sizes.size());
  Axis block;
  std::vector<size_t> open;
  int64_t cells = 1, wanted = 1;
  const auto atom_sizes = [this](const Axis& axis) {
    std::vector<int64_t> result;
    for (const AtomId id : axis) {
      result.push_back(atom_of(flow, id).size);
    }
    return result;
  };
  const auto close = [&] {
    std::vector<int64_t> factors;
    factors.reserve(open.size());
    for (const size_t dim : open) {
      factors.push_back(sizes[dim]);
    }
    if (open.size() == 1) {
      dims[open[0]] = block;
    } else if (!open.empty()) {
      if (is_batch(block)) {
        throw NotFollowed("units cannot be followed from shape " + spelled(atom_sizes(atoms)) + " to " +
                          spelled(sizes));
      }
      const Axis parts = atoms_.split(atoms_.merged(block), factors);
      for (size_t i = 0; i < open.size(); ++i) {
        dims[open[i]] = {parts[i]};
      }
    }
    block.clear();
    open.clear();
    cells = wanted = 1;
  };
  size_t next = 0, dim = 0;
  while (next < atoms.size() || dim < sizes.size()) {
    if (dim < sizes.size() && (wanted <= cells || next == atoms.size())) {
      if (sizes[dim] != 1) {
        open.push_back(dim);
        wanted *= sizes[dim];
      }
      ++dim;
    } else {
      block.push_back(atoms[next]);
      cells *= atom_of(flow, atoms[next++]).size;
    }
    if (cells == wanted && !open.empty() && (next == atoms.size() || atom_of(flow, atoms[next]).size != 1)) {
      close();
    }
  }
  close();
  return dims;
}

Activation FlowBuilder::reshape(const Activation& value, const std::vector<int64_t>& sizes) {
  Axis atoms;
  for (const Axis& axis : value.dims) {
    const Axis inner = leaves(axis);
    atoms.insert(atoms.end(), inner.begin(), inner.end());
  }
  const int64_t cells =
      std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, [](int64_t a, int64_t b) { return a * b; });
  if (cells == 0) {
    throw NotFollowed("a tensor without elements takes another shape");
  }
  if (cells != size(atoms)) {
    throw NotFollowed("shape " + spelled(this->sizes(value)) + " does not fit " + spelled(sizes));
  }
  Activation result{value.origin, {}, value.gone};
  if (auto dims = fit(atoms, sizes); dims.has_value()) {
    result.dims = std::move(*dims);
    return result;
  }
  Axis wide;
  for (const AtomId id : leaves(atoms)) {  // chosen coordinates stay known, wherever they stand
    (atom_of(flow, id).size == 1 ? result.gone : wide).push_back(id);
  }
  result.dims = refit(wide, sizes);
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

Activation FlowBuilder::expand(const Activation& value, const std::vector<int64_t>& sizes) {
  Activation result = value;
  while (result.dims.size() < sizes.size()) {
    result = unsqueeze(result, 0);
  }
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    Axis& axis = result.dims[dim];
    if (size(axis) == 1 && sizes[dim] != 1) {
      axis = {atoms_.gathered(axis, std::vector<int64_t>(static_cast<size_t>(sizes[dim]), 0))};
    } else if (size(axis) != sizes[dim]) {
      throw NotFollowed("shape " + spelled(this->sizes(value)) + " does not expand to " + spelled(sizes));
    }
  }
  return result;
}

Activation FlowBuilder::resample(const Activation& value, size_t dim, const Resampling& resampling) {
  if (resampling.seen == 1 && is_uniform(resampling) &&
      resampling.coefficients[0] == 1.0 / static_cast<double>(resampling.produced)) {
    return average(value, dim);
  }
  Activation result = value;
  result.dims[dim] = {
      atoms_.resampled(Made::kResampled, atoms_.merged(value.dims.at(dim)), resampling.seen, resampling.coefficients)};
  return result;
}

Activation FlowBuilder::average(const Activation& value, size_t dim) {
  Activation result = value;
  result.dims[dim].clear();
  for (const AtomId id : atoms_.coarse(value.dims[dim])) {
    const int64_t cells = atom_of(flow, id).size;
    result.dims[dim].push_back(atoms_.resampled(
        Made::kAveraged, id, 1, std::vector<double>(static_cast<size_t>(cells), 1.0 / static_cast<double>(cells))));
  }
  return result;
}

Activation FlowBuilder::total(const Activation& value, size_t dim) {
  Activation result = value;
  result.dims[dim].clear();
  for (const AtomId id : atoms_.coarse(value.dims[dim])) {
    const auto cells = static_cast<size_t>(atom_of(flow, id).size);
    result.dims[dim].push_back(atoms_.resampled(Made::kAveraged, id, 1, std::vector<double>(cells, 1.0)));
  }
  return result;
}

Activation FlowBuilder::gather(const Activation& value, size_t dim, std::vector<int64_t> map) {
  Activation result = value;
  result.dims[dim] = {atoms_.gathered(value.dims.at(dim), std::move(map))};
  return result;
}

Activation FlowBuilder::pad(const Activation& value, size_t dim, int64_t before, int64_t after) {
  const int64_t cells = size(value.dims.at(dim));
  std::vector<int64_t> map;
  for (int64_t cell = -before; cell < cells + after; ++cell) {
    map.push_back(cell >= 0 && cell < cells ? cell : -1);
  }
  return gather(value, dim, std::move(map));
}

Activation FlowBuilder::slice(const Activation& value, size_t dim, int64_t first, int64_t count, int64_t step) {
  std::vector<int64_t> map;
  for (int64_t i = 0; i < count; ++i) {
    map.push_back(first + i * step);
  }
  return gather(value, dim, std::move(map));
}

Activation FlowBuilder::mix(const Activation& value, size_t dim, int64_t size) {
  Activation result = value;
  result.dims[dim] = {atoms_.mixed(value.dims.at(dim), size)};
  return result;
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
