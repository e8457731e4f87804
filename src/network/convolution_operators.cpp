// SPDX-License-Identifier: BSD-3-Clause
#include "operators.hpp"

#include <ATen/ATen.h>

#include <set>
#include <utility>

namespace dynascope::network {
namespace {

std::vector<int64_t> padding_of(const Call& call, const Use& use, const Convolution& convolution) {
  const size_t axes = convolution.stride.size();
  const Argument* padding = call.find("padding");
  if (padding == nullptr || !padding->other.isString()) {
    return call.integers("padding", axes, 0);
  }
  std::vector<int64_t> result(axes, 0);
  for (size_t axis = 0; padding->other.toStringRef() == "same" && axis < axes; ++axis) {
    // An odd total puts the extra cell behind, where only the output size tells of it.
    result[axis] = convolution.dilation[axis] * (use.layer.weight.size(static_cast<int64_t>(axis) + 2) - 1) / 2;
  }
  return result;
}

Activation read_convolution(Call& call, bool transposed) {
  const Activation& input = call.activation("input");
  Use use = use_of_parameter(call, call.signal("weight"), "", transposed ? 1 : 0);
  const auto axes = static_cast<size_t>(use.layer.weight.dim()) - 2;
  use.layer.operator_name = (transposed ? "conv_transpose" : "conv") + std::to_string(axes) + "d";
  use.layer.groups = call.integer("groups", 1);
  const int64_t outputs = use.layer.weight.size(transposed ? 1 : 0) * (transposed ? use.layer.groups : 1);
  use.layer.bias = bias_of(call, "bias", outputs);

  Convolution convolution;
  convolution.stride = call.integers("stride", axes, 1);
  convolution.dilation = call.integers("dilation", axes, 1);
  convolution.padding = padding_of(call, use, convolution);
  const std::vector<int64_t> sizes = call.output_sizes();
  convolution.output.assign(sizes.end() - static_cast<std::ptrdiff_t>(axes), sizes.end());
  return call.builder.convolve(input, input.dims.size() - axes - 1, std::move(use), std::move(convolution));
}

Activation read_forward(Call& call) { return read_convolution(call, false); }
Activation read_transposed(Call& call) { return read_convolution(call, true); }
Activation read_general(Call& call) { return read_convolution(call, call.flag("transposed", false)); }

}  // namespace

Reader find_convolution_reader(const std::string& name) {
  static const std::set<std::string> kForward = {"conv1d", "conv2d", "conv3d"};
  static const std::set<std::string> kTransposed = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"};
  return kForward.count(name) != 0      ? read_forward
         : kTransposed.count(name) != 0 ? read_transposed
         : name == "convolution"        ? read_general
                                        : nullptr;
}

}  // namespace dynascope::network
