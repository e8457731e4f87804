// SPDX-License-Identifier: BSD-3-Clause
// Every layer and operator that LibTorch has for maps of 1 to 3 axes, one at a time between two convolutions: the
// strengths of all node layers are those of the definition, or what is not placed is named.
#include "drawing.hpp"
#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace oracle {
namespace {

namespace F = torch::nn::functional;
namespace nn = torch::nn;
using at::Tensor;
using Draw = std::function<size_t(Drawing&, size_t)>;
using Cases = std::vector<std::pair<std::string, Draw>>;

size_t convolve(Drawing& draw, const std::string& name, size_t from, int64_t channels, int64_t kernel) {
  const int64_t in = draw.sizes(from)[1];
  switch (draw.sizes(from).size()) {
    case 3:
      return draw.layer(name, from, nn::Conv1d(nn::Conv1dOptions(in, channels, kernel).padding(1)));
    case 4:
      return draw.layer(name, from, nn::Conv2d(nn::Conv2dOptions(in, channels, kernel).padding(1)));
    default:
      return draw.layer(name, from, nn::Conv3d(nn::Conv3dOptions(in, channels, kernel).padding(1)));
  }
}

/// A convolution, what `middle` draws behind it, and another convolution.
std::shared_ptr<Graph> between(const Draw& middle, size_t axes) {
  torch::manual_seed(77);
  std::vector<int64_t> sizes = {1, 3, 8, 7, 6};
  sizes.resize(axes + 2);
  Drawing draw(sizes);
  const size_t made = middle(draw, convolve(draw, "stem", 0, 4, 3));
  return draw.finish(convolve(draw, "head", draw.relu(made), 2, 2));
}

void expect_placed(const Cases& cases, size_t axes) {
  for (const auto& [name, middle] : cases) {
    SCOPED_TRACE(name);
    expect_graph(*between(middle, axes), name);
  }
}

/// A resampling that the model runs as it is drawn.
Draw same(Drawing::Map map) {
  return [map](Drawing& draw, size_t x) { return draw.resampling("resampling", x, map); };
}
/// `run` in the model; the mean over the valid cells of the same windows in the definition.
Draw largest(Drawing::Map run, Drawing::Map mean) {
  return [=](Drawing& draw, size_t x) { return draw.resampling("resampling", x, mean, run); };
}
template <typename M>
Draw layer(const nn::ModuleHolder<M>& module) {
  return [module](Drawing& draw, size_t x) { return draw.layer("middle", x, module); };
}
template <typename M>
Draw transparent(const nn::ModuleHolder<M>& module) {
  return [module](Drawing& draw, size_t x) {
    return draw.transparent(
        "module", x, [own = module.ptr()](const Tensor& t) { return own->forward(t); }, module.ptr());
  };
}
Draw pointwise(Drawing::Map run) {
  return [run](Drawing& draw, size_t x) { return draw.transparent("function", x, run); };
}

TEST(Spelling, ConvolutionsWithEveryAttribute) {
  expect_placed(
      {{"stride, padding, dilation, groups",
        layer(nn::Conv1d(nn::Conv1dOptions(4, 6, 3).stride(2).padding(3).dilation(2).groups(2)))},
       {"same", layer(nn::Conv1d(nn::Conv1dOptions(4, 6, 4).padding(torch::kSame)))},
       {"same, dilated", layer(nn::Conv1d(nn::Conv1dOptions(4, 6, 2).dilation(3).padding(torch::kSame)))},
       {"valid", layer(nn::Conv1d(nn::Conv1dOptions(4, 6, 4).padding(torch::kValid).bias(false)))},
       {"reflect", layer(nn::Conv1d(nn::Conv1dOptions(4, 6, 5).padding(2).padding_mode(torch::kReflect)))},
       {"replicate", layer(nn::Conv1d(nn::Conv1dOptions(4, 6, 5).padding(2).padding_mode(torch::kReplicate)))},
       {"circular", layer(nn::Conv1d(nn::Conv1dOptions(4, 6, 5).padding(2).padding_mode(torch::kCircular)))},
       {"transposed",
        layer(nn::ConvTranspose1d(
            nn::ConvTranspose1dOptions(4, 6, 3).stride(3).padding(1).output_padding(2).dilation(2).groups(2)))}},
      1);
  expect_placed(
      {{"stride, padding, dilation, groups",
        layer(nn::Conv2d(nn::Conv2dOptions(4, 6, {3, 2}).stride({2, 1}).padding({3, 1}).dilation({2, 1}).groups(2)))},
       {"depthwise", layer(nn::Conv2d(nn::Conv2dOptions(4, 8, 3).groups(4)))},
       {"same", layer(nn::Conv2d(nn::Conv2dOptions(4, 6, {4, 3}).padding(torch::kSame)))},
       {"same, dilated", layer(nn::Conv2d(nn::Conv2dOptions(4, 6, 2).dilation({3, 1}).padding(torch::kSame)))},
       {"valid", layer(nn::Conv2d(nn::Conv2dOptions(4, 6, 4).padding(torch::kValid)))},
       {"reflect", layer(nn::Conv2d(nn::Conv2dOptions(4, 6, 5).padding({2, 1}).padding_mode(torch::kReflect)))},
       {"replicate", layer(nn::Conv2d(nn::Conv2dOptions(4, 6, 5).padding(2).padding_mode(torch::kReplicate)))},
       {"circular", layer(nn::Conv2d(nn::Conv2dOptions(4, 6, 5).padding(2).padding_mode(torch::kCircular)))},
       {"same, reflect",
        layer(nn::Conv2d(nn::Conv2dOptions(4, 6, 4).padding(torch::kSame).padding_mode(torch::kReflect)))},
       {"transposed", layer(nn::ConvTranspose2d(nn::ConvTranspose2dOptions(4, 6, {3, 2})
                                                    .stride({3, 2})
                                                    .padding(1)
                                                    .output_padding({2, 1})
                                                    .dilation({2, 1})
                                                    .groups(2)))}},
      2);
  expect_placed(
      {{"stride, padding, dilation, groups",
        layer(nn::Conv3d(nn::Conv3dOptions(4, 6, {3, 2, 1}).stride({2, 1, 1}).padding({3, 1, 0}).groups(2)))},
       {"same", layer(nn::Conv3d(nn::Conv3dOptions(4, 6, {4, 3, 2}).padding(torch::kSame)))},
       {"reflect", layer(nn::Conv3d(nn::Conv3dOptions(4, 6, 3).padding(1).padding_mode(torch::kReflect)))},
       {"replicate", layer(nn::Conv3d(nn::Conv3dOptions(4, 6, 3).padding(1).padding_mode(torch::kReplicate)))},
       {"circular", layer(nn::Conv3d(nn::Conv3dOptions(4, 6, 3).padding(1).padding_mode(torch::kCircular)))},
       {"transposed", layer(nn::ConvTranspose3d(
                          nn::ConvTranspose3dOptions(4, 6, 2).stride(2).padding(1).output_padding(1).groups(2)))}},
      3);
}

TEST(Spelling, NormalisationsAreTransparent) {
  const auto statistics = nn::InstanceNormOptions(4).affine(true).track_running_stats(true);
  expect_placed(
      {{"batch", transparent(nn::BatchNorm1d(4))},
       {"instance", transparent(nn::InstanceNorm1d(nn::InstanceNorm1dOptions(4)))},
       {"instance, affine, statistics", transparent(nn::InstanceNorm1d(statistics))},
       {"group", transparent(nn::GroupNorm(2, 4))},
       {"layer", transparent(nn::LayerNorm(nn::LayerNormOptions({4, 8})))},
       {"functional", pointwise([](const Tensor& x) { return F::layer_norm(x, F::LayerNormFuncOptions({8})); })},
       {"rms", pointwise([](const Tensor& x) { return at::rms_norm(x, {8}); })},
       {"local response", transparent(nn::LocalResponseNorm(nn::LocalResponseNormOptions(3)))}},
      1);
  expect_placed(
      {{"batch", transparent(nn::BatchNorm2d(nn::BatchNorm2dOptions(4).affine(false)))},
       {"batch statistics", pointwise([](const Tensor& x) {
          return F::batch_norm(x, at::zeros({4}), at::ones({4}), F::BatchNormFuncOptions().training(true));
        })},
       {"instance", transparent(nn::InstanceNorm2d(statistics))},
       {"group", transparent(nn::GroupNorm(4, 4))},
       {"layer", transparent(nn::LayerNorm(nn::LayerNormOptions({4, 8, 7}).elementwise_affine(false)))},
       {"local response", transparent(nn::LocalResponseNorm(nn::LocalResponseNormOptions(2)))},
       {"unit length", pointwise([](const Tensor& x) { return F::normalize(x, F::NormalizeFuncOptions().dim(1)); })}},
      2);
  expect_placed({{"batch", transparent(nn::BatchNorm3d(4))},
                 {"instance", transparent(nn::InstanceNorm3d(statistics))},
                 {"group", transparent(nn::GroupNorm(2, 4))},
                 {"local response", transparent(nn::LocalResponseNorm(nn::LocalResponseNormOptions(3)))}},
                3);
}

TEST(Spelling, ActivationsAreTransparent) {
  expect_placed(
      {{"CELU", transparent(nn::CELU())},
       {"ELU", transparent(nn::ELU(nn::ELUOptions().inplace(true)))},
       {"GELU", transparent(nn::GELU(nn::GELUOptions().approximate("tanh")))},
       {"Hardshrink", transparent(nn::Hardshrink())},
       {"hardsigmoid", pointwise([](const Tensor& x) { return at::hardsigmoid(x); })},
       {"hardswish", pointwise([](const Tensor& x) { return at::hardswish(x); })},
       {"Hardtanh", transparent(nn::Hardtanh(nn::HardtanhOptions().inplace(true)))},
       {"LeakyReLU", transparent(nn::LeakyReLU())},
       {"LogSigmoid", transparent(nn::LogSigmoid())},
       {"LogSoftmax", transparent(nn::LogSoftmax(1))},
       {"Mish", transparent(nn::Mish())},
       {"PReLU", transparent(nn::PReLU(nn::PReLUOptions().num_parameters(4)))},
       {"ReLU", transparent(nn::ReLU(nn::ReLUOptions().inplace(true)))},
       {"ReLU6", transparent(nn::ReLU6())},
       {"RReLU", transparent(nn::RReLU())},
       {"SELU", transparent(nn::SELU())},
       {"Sigmoid", transparent(nn::Sigmoid())},
       {"SiLU", transparent(nn::SiLU())},
       {"Softmax", transparent(nn::Softmax(1))},
       {"Softmax2d", transparent(nn::Softmax2d())},
       {"Softmin", transparent(nn::Softmin(1))},
       {"Softplus", transparent(nn::Softplus())},
       {"Softshrink", transparent(nn::Softshrink())},
       {"Softsign", transparent(nn::Softsign())},
       {"Tanh", transparent(nn::Tanh())},
       {"Tanhshrink", transparent(nn::Tanhshrink())},
       {"Threshold", transparent(nn::Threshold(nn::ThresholdOptions(0.1, 0).inplace(true)))},
       {"gumbel_softmax",
        pointwise([](const Tensor& x) { return F::gumbel_softmax(x, F::GumbelSoftmaxFuncOptions().dim(1)); })},
       {"Dropout", transparent(nn::Dropout())},
       {"Dropout2d", transparent(nn::Dropout2d())},
       {"AlphaDropout", transparent(nn::AlphaDropout())},
       {"FeatureAlphaDropout", transparent(nn::FeatureAlphaDropout())},
       {"dropout at work",
        pointwise([](const Tensor& x) { return F::dropout2d(x, F::Dropout2dFuncOptions().training(true)); })},
       {"sign, floor, round", pointwise([](const Tensor& x) { return x.sign() + x.floor() + x.round(); })},
       {"sin, atan, sinh", pointwise([](const Tensor& x) { return x.sin() + x.atan() + x.sinh() + x.log2(); })},
       {"maximum, minimum", pointwise([](const Tensor& x) {
          return torch::minimum(torch::maximum(x, torch::zeros({})), torch::ones({}));
        })},
       {"addcmul, lerp", pointwise([](const Tensor& x) { return torch::addcmul(x, x, torch::ones({})); })},
       {"Identity", transparent(nn::Identity())}},
      2);
}

TEST(Spelling, PoolingOfOneToThreeAxes) {
  expect_placed(
      {{"max", largest([](const Tensor& x) { return nn::MaxPool1d(nn::MaxPool1dOptions(3).stride(2).padding(1))(x); },
                       [](const Tensor& x) { return at::avg_pool1d(x, 3, 2, 1, false, false); })},
       {"max with indices", largest([](const Tensor& x) { return std::get<0>(at::max_pool1d_with_indices(x, 2)); },
                                    [](const Tensor& x) { return at::avg_pool1d(x, 2); })},
       {"average", same([](const Tensor& x) { return at::avg_pool1d(x, 3, 2, 1); })},
       {"adaptive average", same([](const Tensor& x) { return at::adaptive_avg_pool1d(x, 3); })},
       {"adaptive max", largest([](const Tensor& x) { return nn::AdaptiveMaxPool1d(3)(x); },
                                [](const Tensor& x) { return at::adaptive_avg_pool1d(x, 3); })},
       {"power average", largest([](const Tensor& x) { return nn::LPPool1d(nn::LPPool1dOptions(2, 3).stride(2))(x); },
                                 [](const Tensor& x) { return at::avg_pool1d(x, 3, 2); })}},
      1);
  expect_placed(
      {{"max", largest(
                   [](const Tensor& x) {
                     return at::max_pool2d(x, {3, 2}, {2, 1}, {1, 0});
                   },
                   [](const Tensor& x) {
                     return at::avg_pool2d(x, {3, 2}, {2, 1}, {1, 0}, false, false);
                   })},
       {"max with indices",
        largest([](const Tensor& x) { return std::get<0>(nn::MaxPool2d(2)->forward_with_indices(x)); },
                [](const Tensor& x) { return at::avg_pool2d(x, 2); })},
       {"average, ceil", same([](const Tensor& x) { return at::avg_pool2d(x, 3, 2, 1, true, true); })},
       {"average, divisor", same([](const Tensor& x) { return at::avg_pool2d(x, 2, 2, 0, false, true, 3); })},
       {"adaptive average", same([](const Tensor& x) {
          return at::adaptive_avg_pool2d(x, {3, 2});
        })},
       {"adaptive average of one axis", same([](const Tensor& x) {
          return nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({std::nullopt, 2}))(x);
        })},
       {"adaptive max", largest(
                            [](const Tensor& x) {
                              return std::get<0>(at::adaptive_max_pool2d(x, {3, 2}));
                            },
                            [](const Tensor& x) {
                              return at::adaptive_avg_pool2d(x, {3, 2});
                            })},
       {"power average", largest([](const Tensor& x) { return nn::LPPool2d(nn::LPPool2dOptions(2, 3).stride(2))(x); },
                                 [](const Tensor& x) { return at::avg_pool2d(x, 3, 2); })},
       {"mean of one axis", same([](const Tensor& x) { return x.mean(3, true); })},
       {"amax", largest(
                    [](const Tensor& x) {
                      return x.amax({2, 3}, true);
                    },
                    [](const Tensor& x) {
                      return x.mean({2, 3}, true);
                    })},
       {"max of an axis", largest([](const Tensor& x) { return std::get<0>(x.max(3, true)); },
                                  [](const Tensor& x) { return x.mean(3, true); })}},
      2);
  expect_placed({{"max", largest([](const Tensor& x) { return at::max_pool3d(x, 3, 2, 1); },
                                 [](const Tensor& x) { return at::avg_pool3d(x, 3, 2, 1, false, false); })},
                 {"average", same([](const Tensor& x) { return at::avg_pool3d(x, 2, 2, 1); })},
                 {"adaptive average", same([](const Tensor& x) {
                    return at::adaptive_avg_pool3d(x, {3, 2, 1});
                  })},
                 {"adaptive max", largest([](const Tensor& x) { return nn::AdaptiveMaxPool3d(2)(x); },
                                          [](const Tensor& x) {
                                            return at::adaptive_avg_pool3d(x, {2, 2, 2});
                                          })},
                 {"power average", largest([](const Tensor& x) { return nn::LPPool3d(nn::LPPool3dOptions(2, 2))(x); },
                                           [](const Tensor& x) { return at::avg_pool3d(x, 2); })}},
                3);
}

Draw upsample(const nn::UpsampleOptions& options) {
  return same([module = nn::Upsample(options)](const Tensor& x) mutable { return module(x); });
}

TEST(Spelling, UpsamplingOfOneToThreeAxes) {
  using Scales = std::vector<double>;
  using Sizes = std::vector<int64_t>;
  const auto scaled = [](Scales scales) { return nn::UpsampleOptions().scale_factor(std::move(scales)); };
  const auto sized = [](Sizes sizes) { return nn::UpsampleOptions().size(std::move(sizes)); };
  expect_placed({{"nearest", upsample(scaled({2}).mode(torch::kNearest))},
                 {"nearest, exact", same([](const Tensor& x) {
                    return F::interpolate(x, F::InterpolateFuncOptions().size(Sizes{11}).mode(torch::kNearestExact));
                  })},
                 {"linear", upsample(scaled({1.5}).mode(torch::kLinear))},
                 {"linear, corners", upsample(sized({13}).mode(torch::kLinear).align_corners(true))},
                 {"area", same([](const Tensor& x) {
                    return F::interpolate(x, F::InterpolateFuncOptions().size(Sizes{5}).mode(torch::kArea));
                  })}},
                1);
  expect_placed(
      {{"nearest", upsample(sized({5, 10}).mode(torch::kNearest))},
       {"bilinear", upsample(scaled({2, 1.5}).mode(torch::kBilinear))},
       {"bilinear, corners", upsample(scaled({2, 2}).mode(torch::kBilinear).align_corners(true))},
       {"bicubic", upsample(scaled({2, 2}).mode(torch::kBicubic))},
       {"smoothed", same([](const Tensor& x) {
          return F::interpolate(x,
                                F::InterpolateFuncOptions().size(Sizes{4, 3}).mode(torch::kBilinear).antialias(true));
        })},
       {"smoothed cubic", same([](const Tensor& x) {
          return F::interpolate(x, F::InterpolateFuncOptions().size(Sizes{5, 4}).mode(torch::kBicubic).antialias(true));
        })}},
      2);
  expect_placed({{"nearest", upsample(scaled({2, 2, 2}).mode(torch::kNearest))},
                 {"trilinear", upsample(scaled({2, 1, 2}).mode(torch::kTrilinear))}},
                3);
}

/// Padding before a convolution, both as one layer.
template <typename Convolution, typename M>
Draw padded(const nn::ModuleHolder<M>& pad, const Convolution& convolution) {
  return [convolution, own = convolution.ptr(), cells = pad.ptr()](Drawing& draw, size_t x) {
    const auto copy = std::dynamic_pointer_cast<typename Convolution::ContainedType>(convolution->clone());
    copy->to(at::kDouble);
    return draw.layer(
        "middle", x, convolution.ptr(), convolution->bias,
        [=](const Tensor& t) { return own->forward(cells->forward(t)); },
        [=](const Tensor& t) {
          return copy->forward(cells->forward(t)) - copy->forward(cells->forward(at::zeros_like(t)));
        });
  };
}

TEST(Spelling, PaddingOfOneToThreeAxes) {
  const nn::Conv1d one(nn::Conv1dOptions(4, 5, 3));
  expect_placed({{"constant", padded(nn::ConstantPad1d(nn::ConstantPad1dOptions({2, 1}, 0.5)), one)},
                 {"reflect", padded(nn::ReflectionPad1d(nn::ReflectionPad1dOptions({2, 1})), one)},
                 {"replicate", padded(nn::ReplicationPad1d(nn::ReplicationPad1dOptions({2, 1})), one)}},
                1);
  const nn::Conv2d two(nn::Conv2dOptions(4, 5, 3).stride(2));
  expect_placed({{"zero", padded(nn::ZeroPad2d(nn::ZeroPad2dOptions({2, 1, 0, 3})), two)},
                 {"crop", padded(nn::ZeroPad2d(nn::ZeroPad2dOptions({-2, -1, 0, -1})), two)},
                 {"constant", padded(nn::ConstantPad2d(nn::ConstantPad2dOptions({2, 1, 0, 3}, -1)), two)},
                 {"reflect", padded(nn::ReflectionPad2d(nn::ReflectionPad2dOptions({2, 1, 0, 3})), two)},
                 {"replicate", padded(nn::ReplicationPad2d(nn::ReplicationPad2dOptions({2, 1, 0, 3})), two)}},
                2);
  const nn::Conv3d three(nn::Conv3dOptions(4, 5, 3));
  expect_placed({{"constant", padded(nn::ConstantPad3d(nn::ConstantPad3dOptions({2, 1, 0, 3, 1, 1}, 2)), three)},
                 {"reflect", padded(nn::ReflectionPad3d(nn::ReflectionPad3dOptions({2, 1, 0, 3, 1, 1})), three)},
                 {"replicate", padded(nn::ReplicationPad3d(nn::ReplicationPad3dOptions({2, 1, 0, 3, 1, 1})), three)}},
                3);
}

/// The operator that is named, and what its neighbours then are: the layer in front of it and what is added to it are
/// not written, the one behind it is.
TEST(Spelling, WhatHasNoDefiniteLinksIsNamed) {
  const std::vector<std::tuple<std::string, Drawing::Map, std::string>> cases = {
      {"windows drawn at random",
       [](const Tensor& x) { return nn::FractionalMaxPool2d(nn::FractionalMaxPool2dOptions(2).output_size(4))(x); },
       "aten::fractional_max_pool2d"},
      {"back to where the largest were",
       [](const Tensor& x) {
         const auto [most, where] = nn::MaxPool2d(2)->forward_with_indices(x);
         return nn::MaxUnpool2d(2)(most, where);
       },
       "aten::max_unpool2d"},
      {"divided by its neighbours, in place",
       [](const Tensor& x) { return nn::CrossMapLRN2d(nn::CrossMapLRN2dOptions(3))(x); }, "aten::resize_as_"},
      {"windows as columns",
       [](const Tensor& x) {
         return F::unfold(x, F::UnfoldFuncOptions(2)).view({x.size(0), 16, x.size(2) - 1, x.size(3) - 1});
       },
       "aten::im2col"},
      {"where data points to",
       [](const Tensor& x) {
         return F::grid_sample(x, x.slice(1, 0, 2).permute({0, 2, 3, 1}), F::GridSampleFuncOptions());
       },
       "aten::grid_sampler_2d"},
      {"sorted channels", [](const Tensor& x) { return std::get<0>(x.sort(1)); }, "aten::sort"},
      {"the largest of two", [](const Tensor& x) { return torch::maximum(x, x.flip(1)); }, "aten::maximum"},
      {"Fourier", [](const Tensor& x) { return torch::real(torch::fft::fft(x)); }, "aten::_fft_r2c"},
  };
  for (const auto& [name, middle, operation] : cases) {
    SCOPED_TRACE(name);
    torch::manual_seed(77);
    nn::Module net;
    auto stem = net.register_module("stem", nn::Conv2d(nn::Conv2dOptions(3, 4, 3).padding(1)));
    const Tensor x = torch::randn({2, 3, 8, 6});
    const int64_t channels = middle(stem->forward(x)).size(1);
    auto head = net.register_module("head", nn::Conv2d(nn::Conv2dOptions(channels, 2, 2)));
    const auto network = dynascope::trace(net, [&, run = middle] { return head->forward(run(stem->forward(x))); });
    std::ostringstream text;
    text << network;
    SCOPED_TRACE(text.str());
    EXPECT_TRUE(std::any_of(network.skipped.begin(), network.skipped.end(),
                            [&, op = operation](const auto& s) { return s.name == op && !s.reason.empty(); }));
    const std::vector<std::string> names = node_names(network);
    EXPECT_EQ(std::count(names.begin(), names.end(), "stem"), 0);
    EXPECT_EQ(weight_names(network), (std::vector<std::string>{"stem.weight", "head.weight"}));
    const Tensor got = units_of(network, "head");
    const Tensor in = F::conv2d(at::ones({1, channels, 3, 3}), head->weight.detach())[0].select(1, 0).select(1, 0);
    expect_close(got.view({2, -1}).select(1, 0), in + head->bias.detach() + 1);
  }
}

}  // namespace
}  // namespace oracle
