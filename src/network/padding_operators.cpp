// SPDX-License-Identifier: BSD-3-Clause
// Padding, with constants or with copies of cells.
#include "operators.hpp"

#include <map>
#include <string>
#include <utility>

namespace dynascope::network {
namespace {

/// The cell that stands at `position` of an axis of `size` cells; -1 for a constant.
int64_t cell_at(int64_t position, int64_t size, const std::string& mode) {
  if (position >= 0 && position < size) {
    return position;
  }
  if (mode == "replicate") {
    return position < 0 ? 0 : size - 1;
  }
  if (mode == "reflect") {
    return position < 0 ? -position : 2 * (size - 1) - position;
  }
  if (mode == "circular") {
    return (position % size + size) % size;
  }
  return -1;
}

Activation pad(Call& call, const std::string& mode) {
  Activation value = call.activation("self");
  const std::vector<int64_t> pad = call.integers(call.find("pad") != nullptr ? "pad" : "padding", 0, 0);
  for (size_t i = 0; 2 * i + 1 < pad.size(); ++i) {
    const size_t dim = value.dims.size() - 1 - i;
    const int64_t size = call.builder.size(value.dims[dim]);
    std::vector<int64_t> map;
    for (int64_t cell = -pad[2 * i]; cell < size + pad[2 * i + 1]; ++cell) {
      map.push_back(cell_at(cell, size, mode));
    }
    value = call.builder.gather(value, dim, std::move(map));
  }
  return value;
}

Activation read_pad(Call& call) {
  const Argument* mode = call.find("mode");
  return pad(call, mode != nullptr && mode->other.isString() ? mode->other.toStringRef() : "constant");
}
Activation read_constant(Call& call) { return pad(call, "constant"); }
Activation read_reflection(Call& call) { return pad(call, "reflect"); }
Activation read_replication(Call& call) { return pad(call, "replicate"); }
Activation read_circular(Call& call) { return pad(call, "circular"); }

}  // namespace

Reader find_padding_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {{"pad", read_pad},
                                                         {"constant_pad_nd", read_constant},
                                                         {"_pad_circular", read_circular},
                                                         {"reflection_pad1d", read_reflection},
                                                         {"reflection_pad2d", read_reflection},
                                                         {"reflection_pad3d", read_reflection},
                                                         {"replication_pad1d", read_replication},
                                                         {"replication_pad2d", read_replication},
                                                         {"replication_pad3d", read_replication}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
