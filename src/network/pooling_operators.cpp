// SPDX-License-Identifier: BSD-3-Clause
#include "operators.hpp"
#include "pooling.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace dynascope::network {
namespace {

/// Position axes of "max_pool2d" and the like.
size_t axes_of(const Call& call) {
  const size_t digit = call.operation.name.find_first_of("123");
  return static_cast<size_t>(call.operation.name.at(digit) - '0');
}

Activation read_window(Call& call, bool average) {
  Activation value = call.activation("self");
  const size_t axes = axes_of(call);
  const auto kernel = call.integers("kernel_size", axes, 1);
  const bool default_stride = call.integers("stride", 0, 0).empty();
  const auto stride = default_stride ? kernel : call.integers("stride", axes, 1);
  const auto padding = call.integers("padding", axes, 0);
  const auto dilation = call.integers("dilation", axes, 1);
  auto divisor = static_cast<double>(call.integer("divisor_override", 0));
  const size_t first = value.dims.size() - axes;
  for (size_t axis = 0; axis < axes; ++axis) {
    const Window window{kernel[axis], stride[axis], padding[axis], dilation[axis], call.flag("ceil_mode", false)};
    const int64_t size = call.builder.size(value.dims[first + axis]);
    const Resampling resampling = average ? average_pooling(size, window, call.flag("count_include_pad", true), divisor)
                                          : max_pooling(size, window);
    if (resampling.seen != call.output_sizes().at(first + axis)) {
      throw NotFollowed("its window makes another size than expected");
    }
    divisor = divisor != 0 ? 1 : 0;  // it divides the whole window: one axis carries it
    value = call.builder.resample(value, first + axis, resampling);
  }
  return value;
}

Activation read_average(Call& call) { return read_window(call, true); }
Activation read_max(Call& call) { return read_window(call, false); }

Activation read_adaptive(Call& call) {
  Activation value = call.activation("self");
  const size_t first = value.dims.size() - axes_of(call);
  for (size_t dim = first; dim < value.dims.size(); ++dim) {
    value = call.builder.resample(value, dim,
                                  adaptive_pooling(call.builder.size(value.dims[dim]), call.output_sizes().at(dim)));
  }
  return value;
}

std::set<size_t> dims_of(const Call& call, size_t rank) {
  std::set<size_t> dims;
  for (const int64_t dim : call.integers("dim", 0, 0)) {
    dims.insert(wrap(dim, rank));
  }
  if (dims.empty()) {
    throw NotFollowed("it reduces all axes to one number");
  }
  return dims;
}

Activation reduce(Call& call, bool total) {
  Activation value = call.activation("self");
  const std::set<size_t> dims = dims_of(call, value.dims.size());
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    value = total ? call.builder.total(value, *dim) : call.builder.average(value, *dim);
    if (!call.flag("keepdim", false)) {
      value = call.builder.squeeze(value, *dim);
    }
  }
  return value;
}

Activation read_mean(Call& call) { return reduce(call, false); }

/// Of one axis like amax; of two tensors, or of everything, something else.
Activation read_largest(Call& call) {
  if (call.find("other") != nullptr) {
    throw NotFollowed("it combines two activations");
  }
  return reduce(call, false);
}

Activation read_sum(Call& call) { return reduce(call, true); }

/// A deviation or norm of the features is a part of a normalisation; of anything else nobody knows what it is.
Activation read_norm(Call& call) {
  const Activation& value = call.activation("self");
  const Axis& features = call.builder.origin_of(value).features;
  for (const size_t dim : dims_of(call, value.dims.size())) {
    for (const AtomId id : ancestry(call.builder.flow, value.dims[dim])) {
      if (std::find(features.begin(), features.end(), id) != features.end()) {
        return reduce(call, false);
      }
    }
  }
  throw NotFollowed("mixes units in a way that is not understood");
}

}  // namespace

Reader find_pooling_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {{"max_pool1d", read_max},
                                                         {"max_pool2d", read_max},
                                                         {"max_pool3d", read_max},
                                                         {"max_pool1d_with_indices", read_max},
                                                         {"max_pool2d_with_indices", read_max},
                                                         {"max_pool3d_with_indices", read_max},
                                                         {"avg_pool1d", read_average},
                                                         {"avg_pool2d", read_average},
                                                         {"avg_pool3d", read_average},
                                                         {"adaptive_avg_pool1d", read_adaptive},
                                                         {"adaptive_avg_pool2d", read_adaptive},
                                                         {"adaptive_avg_pool3d", read_adaptive},
                                                         {"adaptive_max_pool1d", read_adaptive},
                                                         {"adaptive_max_pool2d", read_adaptive},
                                                         {"adaptive_max_pool3d", read_adaptive},
                                                         {"mean", read_mean},
                                                         {"amax", read_mean},
                                                         {"amin", read_mean},
                                                         {"max", read_largest},
                                                         {"min", read_largest},
                                                         {"sum", read_sum},
                                                         {"norm", read_norm},
                                                         {"linalg_vector_norm", read_norm},
                                                         {"std", read_norm},
                                                         {"var", read_norm}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
