// SPDX-License-Identifier: BSD-3-Clause
// Joining activations, and taking them apart.
#include "operators.hpp"

#include <map>
#include <utility>

namespace dynascope::network {
namespace {

std::vector<FlowBuilder::Part> parts_of(const Call& call, size_t dim, bool stacked) {
  std::vector<FlowBuilder::Part> parts;
  const Argument* tensors = call.find("tensors");
  for (const ValueId id : tensors->values) {
    const Signal& signal = call.signals[static_cast<size_t>(id)];
    const std::vector<int64_t>& sizes = call.values[static_cast<size_t>(id)].sizes;
    if (signal.kind == Signal::Kind::kActivation) {
      const Activation& value = signal.activation;
      parts.push_back({stacked ? call.builder.unsqueeze(value, dim) : value, stacked ? 1 : sizes.at(dim)});
    } else if (stacked || sizes.size() == call.output_sizes().size()) {
      parts.push_back({std::nullopt, stacked ? 1 : sizes.at(dim)});
    }
  }
  return parts;
}

Activation read_cat(Call& call) {
  const size_t dim = wrap(call.integer("dim", 0), call.output_sizes().size());
  return call.builder.join(parts_of(call, dim, false), dim, call.output_sizes());
}

Activation read_stack(Call& call) {
  const size_t dim = wrap(call.integer("dim", 0), call.output_sizes().size());
  return call.builder.join(parts_of(call, dim, true), dim, call.output_sizes());
}

Activation take_apart(Call& call, bool squeezed) {
  const Activation& value = call.activation("self");
  const size_t dim = wrap(call.integer("dim", 0), value.dims.size());
  std::vector<Activation> parts;
  int64_t first = 0;
  for (size_t i = 0; i < call.operation.outputs.size(); ++i) {
    const int64_t count = squeezed ? 1 : call.output_sizes(i).at(dim);
    const Activation part = call.builder.slice(value, dim, first, count);
    parts.push_back(squeezed ? call.builder.squeeze(part, dim) : part);
    first += count;
  }
  if (parts.empty() || first != call.builder.size(value.dims[dim])) {
    throw NotFollowed("its parts are not the whole");
  }
  call.more.assign(parts.begin() + 1, parts.end());
  return parts[0];
}

Activation read_split(Call& call) { return take_apart(call, false); }
Activation read_unbind(Call& call) { return take_apart(call, true); }

/// The first half of the features, gated by the second.
Activation read_glu(Call& call) {
  const Activation& value = call.activation("self");
  const size_t dim = wrap(call.integer("dim", -1), value.dims.size());
  const int64_t half = call.output_sizes().at(dim);
  return call.builder.sum({call.builder.slice(value, dim, 0, half), call.builder.slice(value, dim, half, half)},
                          call.output_sizes(), true);
}

}  // namespace

Reader find_join_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {{"cat", read_cat},
                                                         {"concat", read_cat},
                                                         {"concatenate", read_cat},
                                                         {"stack", read_stack},
                                                         {"chunk", read_split},
                                                         {"split", read_split},
                                                         {"split_with_sizes", read_split},
                                                         {"unsafe_chunk", read_split},
                                                         {"unsafe_split", read_split},
                                                         {"unsafe_split_with_sizes", read_split},
                                                         {"unbind", read_unbind},
                                                         {"glu", read_glu}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
