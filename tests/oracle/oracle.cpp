// SPDX-License-Identifier: BSD-3-Clause
#include "oracle.hpp"

#include <torch/torch.h>

namespace oracle {
namespace {

using dynascope::Bias;
using dynascope::Boundary;
using dynascope::Granularity;
using dynascope::MetricOptions;
using dynascope::Padding;

at::Tensor double_of(const at::Tensor& tensor) { return tensor.detach().to(at::kCPU, at::kDouble); }

/// (out-channels, in-channels): the weights between each pair, summed; columns of a Linear summed per channel.
at::Tensor channel_matrix(const Step& step, const at::Tensor& weight, int64_t channels) {
  if (weight.dim() == 2) {
    return weight.reshape({weight.size(0), channels, -1}).sum(2);
  }
  const at::Tensor taps = weight.flatten(2).sum(2);
  const int64_t out = step.transposed ? taps.size(1) * step.groups : taps.size(0);
  const at::Tensor matrix = at::zeros({out, channels}, at::kDouble);
  const int64_t rows = out / step.groups, columns = channels / step.groups;
  for (int64_t g = 0; g < step.groups; ++g) {
    const at::Tensor block =
        step.transposed ? taps.narrow(0, g * columns, columns).t() : taps.narrow(0, g * rows, rows);
    matrix.narrow(0, g * rows, rows).narrow(1, g * columns, columns).copy_(block);
  }
  return matrix;
}

Strengths channel_strengths(const Chain& chain, const MetricOptions& options, const Links& links, double boundary) {
  Strengths result;
  int64_t channels = chain.input_shape[1];
  result.in.push_back(at::full({channels}, boundary, at::kDouble));
  for (const Step& step : chain.steps) {
    const at::Tensor matrix = channel_matrix(step, links.value(double_of(step.weight)), channels);
    result.out.push_back(matrix.sum(0));
    at::Tensor in = matrix.sum(1);
    if (step.bias.defined() && options.bias() == Bias::kIn) {
      in = in + links.value(double_of(step.bias));
    }
    result.in.push_back(in);
    channels = in.size(0);
  }
  result.out.push_back(at::full({channels}, boundary, at::kDouble));
  return result;
}

}  // namespace

Links plain() {
  return {[](const at::Tensor& x) { return x; }, 1};
}
Links magnitudes() {
  return {[](const at::Tensor& x) { return x.abs(); }, 1};
}
Links nonfinite() {
  return {[](const at::Tensor& x) { return x.isfinite().logical_not().to(at::kDouble); }, 0};
}
Links finite_part() {
  return {[](const at::Tensor& x) { return x.nan_to_num(0, 0, 0); }, 1};
}

Strengths strengths(const Chain& chain, const MetricOptions& options, const Links& links) {
  const double boundary = options.boundary() == Boundary::kOne ? links.virtual_link : 0;
  if (options.granularity() == Granularity::kChannel) {
    return channel_strengths(chain, options, links, boundary);
  }
  Strengths result;
  std::vector<int64_t> shape = chain.input_shape;
  shape[0] = 1;
  result.in.push_back(at::full(shape, boundary, at::kDouble)[0]);
  for (const Step& step : chain.steps) {
    const at::Tensor weight = links.value(double_of(step.weight));
    at::Tensor written = step.apply(at::ones(shape, at::kDouble), weight, options.padding() == Padding::kAllTaps);
    if (step.bias.defined() && options.bias() == Bias::kIn) {
      std::vector<int64_t> bias_shape(static_cast<size_t>(written.dim()), 1);
      bias_shape[1] = -1;
      written = written + links.value(double_of(step.bias)).reshape(bias_shape);
    }
    const at::Tensor in = step.resample(written);

    const at::Tensor units = torch::ones(shape, at::TensorOptions(at::kDouble).requires_grad(true));
    step.resample(step.apply(units, weight, false)).sum().backward();
    result.out.push_back(units.grad()[0]);
    result.in.push_back(in[0]);
    shape = in.sizes().vec();
  }
  result.out.push_back(at::full(shape, boundary, at::kDouble)[0]);
  return result;
}

std::vector<at::Tensor> total(const Strengths& strengths) {
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < strengths.in.size(); ++i) {
    result.push_back(strengths.in[i] + strengths.out[i]);
  }
  return result;
}

at::Tensor expand(const dynascope::NodeLayerInfo& info, const at::Tensor& stored) {
  at::Tensor map = double_of(stored).reshape(info.stored_shape);
  for (size_t d = 0; d < info.classes.size(); ++d) {
    if (!info.classes[d].empty()) {
      const auto index = at::tensor(at::ArrayRef<int32_t>(info.classes[d]), at::kInt);
      map = map.index_select(static_cast<int64_t>(d), index);
    }
  }
  return map;
}

at::Tensor spread(const at::Tensor& map, const at::Tensor& units) {
  if (map.numel() == units.numel()) {
    return map.flatten();
  }
  const auto axes = static_cast<uint32_t>(units.dim());
  for (uint32_t kept = 1; kept < (1u << axes); kept += 2) {  // axis 0, the channels, is always kept
    std::vector<int64_t> shape, sizes;
    for (uint32_t d = 0; d < axes; ++d) {
      const bool keep = (kept >> d & 1u) != 0;
      shape.push_back(keep ? units.size(d) : 1);
      if (keep) {
        sizes.push_back(units.size(d));
      }
    }
    if (map.sizes() == at::IntArrayRef(sizes)) {
      return map.reshape(shape).expand(units.sizes()).flatten();
    }
  }
  return {};
}

std::vector<MetricOptions> all_options() {
  std::vector<MetricOptions> all;
  for (const Bias bias : {Bias::kIn, Bias::kNone}) {
    for (const Boundary boundary : {Boundary::kOne, Boundary::kZero}) {
      for (const Padding padding : {Padding::kTrueEdges, Padding::kAllTaps}) {
        for (const Granularity granularity : {Granularity::kUnit, Granularity::kChannel}) {
          all.push_back(MetricOptions().bias(bias).boundary(boundary).padding(padding).granularity(granularity));
        }
      }
    }
  }
  return all;
}

std::string text(const MetricOptions& options) {
  std::string result;
  result += to_string(options.bias());
  result += ' ';
  result += to_string(options.boundary());
  result += ' ';
  result += to_string(options.padding());
  result += ' ';
  result += to_string(options.granularity());
  return result;
}

}  // namespace oracle
