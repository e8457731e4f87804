// SPDX-License-Identifier: BSD-3-Clause
// Views, chosen coordinates and resampling: the same origin, other atoms.
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

bool is_identity(const Resampling& resampling) {
  bool same = resampling.seen == resampling.produced;
  for (int64_t i = 0; same && i < resampling.seen * resampling.seen; ++i) {
    same = resampling.coefficients[static_cast<size_t>(i)] == (i % (resampling.seen + 1) == 0 ? 1 : 0);
  }
  return same;
}

}  // namespace

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
  if (is_identity(resampling)) {
    return value;
  }
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
  std::vector<int64_t> same(map.size());
  std::iota(same.begin(), same.end(), 0);
  if (map == same && size(value.dims.at(dim)) == static_cast<int64_t>(map.size())) {
    return value;
  }
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

}  // namespace dynascope::network
