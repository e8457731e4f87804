// SPDX-License-Identifier: BSD-3-Clause
// Operators with several activations: sums and joins, and how the atoms of the result stand to those of each operand.
#include "flow_builder.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace dynascope::network {
namespace {

std::vector<int64_t> atom_sizes(const Flow& flow, const Axis& axis) {
  std::vector<int64_t> sizes;
  for (const AtomId id : axis) {
    sizes.push_back(atom_of(flow, id).size);
  }
  return sizes;
}

/// Axes of one size each, cut at the boundaries that all have in common. Result: block, axis.
std::vector<std::vector<Axis>> common_blocks(const Flow& flow, const std::vector<Axis>& axes) {
  std::set<int64_t> common;
  for (size_t i = 0; i < axes.size(); ++i) {
    std::set<int64_t> boundaries;
    int64_t cells = 1;
    for (const AtomId id : axes[i]) {
      cells *= atom_of(flow, id).size;
      if (i == 0 || common.count(cells) != 0) {
        boundaries.insert(cells);
      }
    }
    common = std::move(boundaries);
  }
  std::vector<std::vector<Axis>> blocks(common.size(), std::vector<Axis>(axes.size()));
  for (size_t i = 0; i < axes.size(); ++i) {
    size_t block = 0;
    int64_t cells = 1;
    for (const AtomId id : axes[i]) {
      blocks[block][i].push_back(id);
      cells *= atom_of(flow, id).size;
      block += common.count(cells);
    }
  }
  return blocks;
}

void add_found(const Flow& flow, const Axis& wanted, const Image& image, std::set<AtomId>& found) {
  for (const auto& [atom, axis] : image) {
    Axis open = axis;
    while (!open.empty()) {  // what is averaged away is no feature any more
      const AtomId id = open.back();
      open.pop_back();
      if (std::find(wanted.begin(), wanted.end(), id) != wanted.end()) {
        found.insert(atom);
      } else if (atom_of(flow, id).made != Atom::Made::kAveraged) {
        const Axis& base = atom_of(flow, id).base;
        open.insert(open.end(), base.begin(), base.end());
      }
    }
  }
}

}  // namespace

/// Atoms for one block, as fine as its finest axis where the others can be split alike.
void FlowBuilder::align_block(const std::vector<Axis>& blocks, Axis& made, std::vector<Image>& images) {
  const auto finest =
      std::max_element(blocks.begin(), blocks.end(), [](const Axis& a, const Axis& b) { return a.size() < b.size(); });
  std::vector<int64_t> sizes = atom_sizes(flow, *finest);
  std::vector<Axis> axes = blocks;
  for (Axis& axis : axes) {
    if (axis.size() == 1) {
      axis = atoms_.split(axis[0], sizes);
    }
    if (atom_sizes(flow, axis) != sizes) {
      axes = blocks;
      sizes = {size(*finest)};
      break;
    }
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    made.push_back(atoms_.produced(sizes[i]));
    for (size_t k = 0; k < axes.size(); ++k) {
      images[k][made.back()] = sizes.size() == 1 ? axes[k] : Axis{axes[k][i]};
    }
  }
}

/// Atoms for an axis of `size` that stands for `axes`, each of that size or 1.
Axis FlowBuilder::align(const std::vector<Axis>& axes, int64_t size, std::vector<Image>& images) {
  std::vector<Axis> full;
  std::vector<size_t> who;
  for (size_t k = 0; k < axes.size(); ++k) {
    if (this->size(axes[k]) == size && size != 1) {
      Axis wide;
      for (const AtomId id : leaves(axes[k])) {
        if (atom_of(flow, id).size != 1) {
          wide.push_back(id);
        }
      }
      full.push_back(std::move(wide));
      who.push_back(k);
    }
  }
  Axis made;
  std::vector<Image> found(full.size());
  for (const std::vector<Axis>& blocks : common_blocks(flow, full)) {
    align_block(blocks, made, found);
  }
  if (made.empty()) {
    made.push_back(atoms_.produced(size));
  }
  for (size_t k = 0; k < axes.size(); ++k) {
    const auto position = std::find(who.begin(), who.end(), k);
    Axis ones;
    for (const AtomId id : leaves(axes[k])) {
      if (atom_of(flow, id).size == 1) {
        ones.push_back(id);
      }
    }
    if (position != who.end()) {
      Image& image = found[static_cast<size_t>(position - who.begin())];
      Axis& first = image[made[0]];
      first.insert(first.begin(), ones.begin(), ones.end());
      images[k].insert(image.begin(), image.end());
      continue;
    }
    for (const AtomId id : made) {  // one coordinate, copied along all of them
      const Axis base = id == made[0] ? ones : Axis();
      const auto cells = static_cast<size_t>(atom_of(flow, id).size);
      images[k][id] = cells == 1 ? base : Axis{atoms_.gathered(base, std::vector<int64_t>(cells, 0))};
    }
  }
  return made;
}

void FlowBuilder::find_kinds_of_axes(Origin& origin, const std::vector<Activation>& values,
                                     const std::vector<Image>& images) {
  std::set<AtomId> features, positions;
  for (size_t k = 0; k < values.size(); ++k) {
    const Origin& from = origin_of(values[k]);
    add_found(flow, from.features, images[k], features);
    for (const Axis& axis : from.positions) {
      add_found(flow, axis, images[k], positions);
    }
    origin.sources.push_back(values[k].origin);
  }
  for (const Axis& axis : origin.dims) {
    for (const AtomId id : axis) {
      flow.atoms[static_cast<size_t>(id)].batch =
          std::any_of(images.begin(), images.end(), [&](const Image& image) { return is_batch(image.at(id)); });
      if (features.count(id) != 0) {
        origin.features.push_back(id);
      } else if (positions.count(id) != 0) {
        origin.positions.push_back({id});
      }
    }
  }
}

Activation FlowBuilder::sum(const std::vector<Activation>& operands, const std::vector<int64_t>& sizes, bool product) {
  Origin origin;
  origin.kind = Origin::Kind::kSum;
  origin.product = product;
  std::vector<Image> images(operands.size());
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    std::vector<Axis> axes;
    for (const Activation& operand : operands) {
      const size_t missing = sizes.size() - operand.dims.size();
      axes.push_back(dim < missing ? Axis() : operand.dims[dim - missing]);
    }
    origin.dims.push_back(align(axes, sizes[dim], images));
  }
  find_kinds_of_axes(origin, operands, images);
  const auto position = static_cast<int32_t>(flow.origins.size());
  for (size_t k = 0; k < operands.size(); ++k) {
    Read read;
    read.kind = Read::Kind::kOperand;
    read.value = operands[k];
    read.sum = position;
    read.term = static_cast<int32_t>(k);
    read.image = std::move(images[k]);
    flow.reads.push_back(std::move(read));
  }
  return add_origin(std::move(origin));
}

Activation FlowBuilder::join(const std::vector<Part>& parts, size_t dim, const std::vector<int64_t>& sizes) {
  Origin origin;
  origin.kind = Origin::Kind::kJoin;
  std::vector<Activation> values;
  for (const Part& part : parts) {
    if (part.value.has_value()) {
      values.push_back(*part.value);
    }
  }
  std::vector<Image> images(values.size());
  for (size_t d = 0; d < sizes.size(); ++d) {
    std::vector<Axis> axes;
    axes.reserve(values.size());
    for (const Activation& value : values) {
      axes.push_back(value.dims.at(d));
    }
    if (d != dim) {
      origin.dims.push_back(align(axes, sizes[d], images));
      continue;
    }
    const AtomId joined = atoms_.produced(sizes[d]);
    int64_t first = 0;
    size_t k = 0;
    for (const Part& part : parts) {
      if (part.value.has_value()) {
        std::vector<int64_t> map(static_cast<size_t>(sizes[d]), -1);
        for (int64_t i = 0; i < part.size; ++i) {
          map[static_cast<size_t>(first + i)] = i;
        }
        images[k][joined] = {atoms_.gathered(axes[k], std::move(map))};
        ++k;
      }
      first += part.size;
    }
    origin.dims.push_back({joined});
  }
  find_kinds_of_axes(origin, values, images);
  for (size_t k = 0; k < values.size(); ++k) {
    origin.operands.push_back({values[k], std::move(images[k])});
  }
  return add_origin(std::move(origin));
}

}  // namespace dynascope::network
