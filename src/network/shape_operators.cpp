// SPDX-License-Identifier: BSD-3-Clause
#include "operators.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace dynascope::network {
namespace {

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

Activation read_expand(Call& call) { return call.builder.expand(call.activation("self"), call.output_sizes()); }

Activation read_select(Call& call) {
  const Activation& value = call.activation("self");
  const size_t dim = wrap(call.integer("dim", 0), value.dims.size());
  const auto index =
      static_cast<int64_t>(wrap(call.integer("index", 0), static_cast<size_t>(call.builder.size(value.dims.at(dim)))));
  return call.builder.squeeze(call.builder.slice(value, dim, index, 1), dim);
}

Activation read_slice(Call& call) {
  const Activation& value = call.activation("self");
  const size_t dim = wrap(call.integer("dim", 0), value.dims.size());
  const int64_t size = call.builder.size(value.dims.at(dim));
  int64_t first = call.integer("start", 0);
  first = std::clamp<int64_t>(first < 0 ? first + size : first, 0, size);
  return call.builder.slice(value, dim, first, call.output_sizes().at(dim), call.integer("step", 1));
}

Activation read_flip(Call& call) {
  Activation value = call.activation("self");
  for (const int64_t axis : call.integers("dims", 0, 0)) {
    const size_t dim = wrap(axis, value.dims.size());
    const int64_t size = call.builder.size(value.dims.at(dim));
    value = call.builder.slice(value, dim, size - 1, size, -1);
  }
  return value;
}

Activation read_roll(Call& call) {
  Activation value = call.activation("self");
  const std::vector<int64_t> shape = call.builder.sizes(value);
  const std::vector<int64_t> shifts = call.integers("shifts", 0, 0), dims = call.integers("dims", 0, 0);
  if (dims.size() != shifts.size()) {
    throw NotFollowed("it rolls the flattened tensor");
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    const size_t dim = wrap(dims[i], shape.size());
    std::vector<int64_t> map;
    for (int64_t k = 0; k < shape.at(dim); ++k) {
      map.push_back(((k - shifts[i]) % shape[dim] + shape[dim]) % shape[dim]);
    }
    value = call.builder.gather(value, dim, std::move(map));
  }
  return value;
}

Activation read_repeat(Call& call) {
  Activation value = call.activation("self");
  while (value.dims.size() < call.output_sizes().size()) {
    value = call.builder.unsqueeze(value, 0);
  }
  for (size_t dim = 0; dim < value.dims.size(); ++dim) {
    const int64_t size = call.builder.size(value.dims[dim]);
    std::vector<int64_t> map;
    for (int64_t k = 0; k < call.output_sizes()[dim]; ++k) {
      map.push_back(k % size);
    }
    value = call.builder.gather(value, dim, std::move(map));
  }
  return value;
}

/// Coordinates in the order of an index tensor whose values are known.
Activation read_index_select(Call& call) {
  const Activation& value = call.activation("self");
  const size_t dim = wrap(call.integer("dim", 0), value.dims.size());
  if (call.signal("index").kind != Signal::Kind::kConstant) {
    throw NotFollowed("it selects by what activations decide");
  }
  const at::Tensor index =
      call.values[static_cast<size_t>(call.find("index")->values[0])].tensor.to(at::kCPU, at::kLong);
  const at::Tensor flat = index.contiguous().view({-1});
  return call.builder.gather(value, dim,
                             {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()});
}

/// Channels of a cell spread over its positions, or gathered from them.
Activation read_pixel_shuffle(Call& call) {
  const Activation& value = call.activation("self");
  const int64_t factor = call.integer("upscale_factor", 1);
  std::vector<int64_t> sizes = call.builder.sizes(value);
  const size_t rank = sizes.size();
  const int64_t height = sizes[rank - 2], width = sizes[rank - 1];
  sizes.resize(rank - 3);
  const auto first = static_cast<int64_t>(sizes.size());
  std::vector<int64_t> order = identity(sizes.size());
  sizes.insert(sizes.end(), {call.output_sizes()[rank - 3], factor, factor, height, width});
  order.insert(order.end(), {first, first + 3, first + 1, first + 4, first + 2});
  return call.builder.reshape(call.builder.permute(call.builder.reshape(value, sizes), order), call.output_sizes());
}

Activation read_pixel_unshuffle(Call& call) {
  const Activation& value = call.activation("self");
  const int64_t factor = call.integer("downscale_factor", 1);
  std::vector<int64_t> sizes = call.builder.sizes(value);
  const size_t rank = sizes.size();
  const int64_t channels = sizes[rank - 3], height = sizes[rank - 2] / factor, width = sizes[rank - 1] / factor;
  sizes.resize(rank - 3);
  const auto first = static_cast<int64_t>(sizes.size());
  std::vector<int64_t> order = identity(sizes.size());
  sizes.insert(sizes.end(), {channels, height, factor, width, factor});
  order.insert(order.end(), {first, first + 2, first + 4, first + 1, first + 3});
  return call.builder.reshape(call.builder.permute(call.builder.reshape(value, sizes), order), call.output_sizes());
}

Activation read_channel_shuffle(Call& call) {
  const Activation& value = call.activation("self");
  const int64_t groups = call.integer("groups", 1);
  std::vector<int64_t> sizes = call.builder.sizes(value);
  sizes[1] /= groups;
  sizes.insert(sizes.begin() + 1, groups);
  std::vector<int64_t> order = identity(sizes.size());
  std::swap(order[1], order[2]);
  return call.builder.reshape(call.builder.permute(call.builder.reshape(value, sizes), order), call.output_sizes());
}

}  // namespace

Reader find_shape_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {{"view", read_view},
                                                         {"reshape", read_view},
                                                         {"flatten", read_view},
                                                         {"unflatten", read_view},
                                                         {"_unsafe_view", read_view},
                                                         {"_reshape_alias", read_view},
                                                         {"view_as", read_view},
                                                         {"reshape_as", read_view},
                                                         {"transpose", read_transpose},
                                                         {"swapaxes", read_transpose},
                                                         {"swapdims", read_transpose},
                                                         {"t", read_t},
                                                         {"permute", read_permute},
                                                         {"squeeze", read_squeeze},
                                                         {"unsqueeze", read_unsqueeze},
                                                         {"expand", read_expand},
                                                         {"expand_as", read_expand},
                                                         {"broadcast_to", read_expand},
                                                         {"select", read_select},
                                                         {"slice", read_slice},
                                                         {"narrow", read_slice},
                                                         {"flip", read_flip},
                                                         {"roll", read_roll},
                                                         {"repeat", read_repeat},
                                                         {"tile", read_repeat},
                                                         {"index_select", read_index_select},
                                                         {"pixel_shuffle", read_pixel_shuffle},
                                                         {"pixel_unshuffle", read_pixel_unshuffle},
                                                         {"channel_shuffle", read_channel_shuffle},
                                                         {"native_channel_shuffle", read_channel_shuffle}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
