// SPDX-License-Identifier: BSD-3-Clause
#include "operators.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace dynascope::network {
namespace {

size_t wrap(int64_t dim, size_t rank) { return static_cast<size_t>(dim < 0 ? dim + static_cast<int64_t>(rank) : dim); }

Activation read_view(Call& call) { return call.builder.reshape(call.activation("self"), call.output_sizes()); }

std::vector<int64_t> identity(size_t rank) {
  std::vector<int64_t> order(rank);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Activation swap(Call& call, int64_t first, int64_t second) {
  const Activation& value = call.activation("self");
  std::vector<int64_t> order = identity(value.dims.size());
  std::swap(order.at(wrap(first, order.size())), order.at(wrap(second, order.size())));
  return call.builder.permute(value, order);
}

Activation read_transpose(Call& call) {
  const bool axes = call.find("axis0") != nullptr;
  return swap(call, call.integer(axes ? "axis0" : "dim0", 0), call.integer(axes ? "axis1" : "dim1", 0));
}

Activation read_t(Call& call) {
  const size_t rank = call.activation("self").dims.size();
  return rank < 2 ? call.activation("self") : swap(call, -2, -1);
}

Activation read_permute(Call& call) {
  const Activation& value = call.activation("self");
  std::vector<int64_t> order;
  for (const int64_t dim : call.integers("dims", 0, 0)) {
    order.push_back(static_cast<int64_t>(wrap(dim, value.dims.size())));
  }
  return call.builder.permute(value, order);
}

Activation read_squeeze(Call& call) {
  Activation value = call.activation("self");
  std::set<size_t> dims;
  if (call.find("dim") == nullptr) {
    for (size_t dim = 0; dim < value.dims.size(); ++dim) {
      dims.insert(dim);
    }
  }
  for (const int64_t dim : call.integers("dim", 0, 0)) {
    dims.insert(wrap(dim, value.dims.size()));
  }
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    if (call.builder.size(value.dims.at(*dim)) == 1) {
      value = call.builder.squeeze(value, *dim);
    }
  }
  return value;
}

Activation read_unsqueeze(Call& call) {
  const Activation& value = call.activation("self");
  return call.builder.unsqueeze(value, wrap(call.integer("dim", 0), value.dims.size() + 1));
}

Activation read_expand(Call& call) {
  const Activation& value = call.activation("self");
  if (call.output_sizes() != call.builder.sizes(value)) {
    throw NotFollowed("it copies units");
  }
  return value;
}

Activation read_select(Call& call) {
  const Activation& value = call.activation("self");
  const size_t dim = wrap(call.integer("dim", 0), value.dims.size());
  const bool only = call.builder.size(value.dims.at(dim)) == 1;
  return call.builder.squeeze(only ? value : call.builder.select(value, dim, 1), dim);
}

Activation read_slice(Call& call) {
  const Activation& value = call.activation("self");
  if (call.output_sizes() == call.builder.sizes(value)) {
    return value;
  }
  const size_t dim = wrap(call.integer("dim", 0), value.dims.size());
  return call.builder.select(value, dim, call.output_sizes().at(dim));
}

Activation read_pad(Call& call) {
  Activation value = call.activation("self");
  const Argument* mode = call.find("mode");
  if (mode != nullptr && mode->other.isString() && mode->other.toStringRef() != "constant") {
    throw NotFollowed("it pads with copies of units");
  }
  const std::vector<int64_t> pad = call.integers("pad", 0, 0);
  for (size_t i = 0; 2 * i + 1 < pad.size(); ++i) {
    const size_t dim = value.dims.size() - 1 - i;
    if (pad[2 * i] != 0 || pad[2 * i + 1] != 0) {
      value = call.builder.pad(value, dim, pad[2 * i], pad[2 * i + 1]);
    }
  }
  return value;
}

}  // namespace

Reader find_shape_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {
      {"view", read_view},          {"reshape", read_view},       {"flatten", read_view},
      {"unflatten", read_view},     {"_unsafe_view", read_view},  {"_reshape_alias", read_view},
      {"view_as", read_view},       {"reshape_as", read_view},    {"transpose", read_transpose},
      {"swapaxes", read_transpose}, {"swapdims", read_transpose}, {"t", read_t},
      {"permute", read_permute},    {"squeeze", read_squeeze},    {"unsqueeze", read_unsqueeze},
      {"expand", read_expand},      {"expand_as", read_expand},   {"select", read_select},
      {"slice", read_slice},        {"narrow", read_slice},       {"pad", read_pad},
      {"constant_pad_nd", read_pad}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
