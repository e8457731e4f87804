// SPDX-License-Identifier: BSD-3-Clause
// Interpolation. Its coefficients are what torch itself makes of the unit vectors, axis by axis: nothing to keep in
// step with its rules for corners and scales.
#include "operators.hpp"

#include <ATen/ATen.h>

#include <map>
#include <optional>

namespace dynascope::network {
namespace {

using Enlarge = at::Tensor (*)(const at::Tensor& cells, int64_t size, bool align_corners, std::optional<double> scale);

at::Tensor nearest(const at::Tensor& cells, int64_t size, bool /*align*/, std::optional<double> scale) {
  return at::upsample_nearest1d(cells, {size}, scale);
}
at::Tensor nearest_exact(const at::Tensor& cells, int64_t size, bool /*align*/, std::optional<double> scale) {
  return at::_upsample_nearest_exact1d(cells, {size}, scale);
}
at::Tensor linear(const at::Tensor& cells, int64_t size, bool align, std::optional<double> scale) {
  return at::upsample_linear1d(cells, {size}, align, scale);
}
at::Tensor cubic(const at::Tensor& cells, int64_t size, bool align, std::optional<double> scale) {
  return at::upsample_bicubic2d(cells.unsqueeze(-1), {size, 1}, align, scale, std::nullopt).squeeze(-1);
}
at::Tensor smooth_linear(const at::Tensor& cells, int64_t size, bool align, std::optional<double> scale) {
  return at::_upsample_bilinear2d_aa(cells.unsqueeze(2), {1, size}, align, std::nullopt, scale).squeeze(2);
}
at::Tensor smooth_cubic(const at::Tensor& cells, int64_t size, bool align, std::optional<double> scale) {
  return at::_upsample_bicubic2d_aa(cells.unsqueeze(2), {1, size}, align, std::nullopt, scale).squeeze(2);
}

/// The scale that the user gave for one of `axes` axes, where he gave one.
std::optional<double> scale_of(const Call& call, size_t axis, size_t axes) {
  static const char* const kNames[] = {"scales_d", "scales_h", "scales_w"};
  const Argument* given = call.find(axes == 1 && call.find("scales") != nullptr ? "scales" : kNames[3 - axes + axis]);
  if (given != nullptr && given->other.isDouble()) {
    return given->other.toDouble();
  }
  const Argument* all = call.find("scale_factors");
  if (all != nullptr && all->other.isDoubleList()) {
    return all->other.toDoubleVector().at(axis);
  }
  return {};
}

Activation enlarge(Call& call, size_t axes, Enlarge how) {
  Activation value = call.activation(call.find("input") != nullptr ? "input" : "self");
  for (size_t axis = 0; axis < axes; ++axis) {
    const size_t dim = value.dims.size() - axes + axis;
    const int64_t size = call.builder.size(value.dims[dim]);
    const int64_t seen = call.output_sizes().at(dim);
    const at::Tensor cells = at::eye(size, at::kDouble).unsqueeze(1);
    const at::Tensor made =
        how(cells, seen, call.flag("align_corners", false), scale_of(call, axis, axes)).squeeze(1).t().contiguous();
    const double* data = made.const_data_ptr<double>();
    value = call.builder.resample(value, dim, {size, seen, std::vector<double>(data, data + made.numel())});
  }
  return value;
}

template <size_t axes, Enlarge how>
Activation read(Call& call) {
  return enlarge(call, axes, how);
}

}  // namespace

Reader find_upsampling_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {{"upsample_nearest1d", read<1, nearest>},
                                                         {"upsample_nearest2d", read<2, nearest>},
                                                         {"upsample_nearest3d", read<3, nearest>},
                                                         {"_upsample_nearest_exact1d", read<1, nearest_exact>},
                                                         {"_upsample_nearest_exact2d", read<2, nearest_exact>},
                                                         {"_upsample_nearest_exact3d", read<3, nearest_exact>},
                                                         {"upsample_linear1d", read<1, linear>},
                                                         {"upsample_bilinear2d", read<2, linear>},
                                                         {"upsample_trilinear3d", read<3, linear>},
                                                         {"upsample_bicubic2d", read<2, cubic>},
                                                         {"_upsample_bilinear2d_aa", read<2, smooth_linear>},
                                                         {"_upsample_bicubic2d_aa", read<2, smooth_cubic>}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
