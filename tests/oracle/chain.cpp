// SPDX-License-Identifier: BSD-3-Clause
#include "chain.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <random>
#include <sstream>

namespace oracle {
namespace {

namespace nn = torch::nn;
using dynascope::NetworkBuilder;
using Sizes = std::vector<int64_t>;
using Value = NetworkBuilder::Value;

template <size_t D>
struct Modules;

#define ORACLE_MODULES(D)                          \
  template <>                                      \
  struct Modules<D> {                              \
    using Convolution = nn::Conv##D##d;            \
    using Transposed = nn::ConvTranspose##D##d;    \
    using MaxPool = nn::MaxPool##D##d;             \
    using AvgPool = nn::AvgPool##D##d;             \
    using AdaptiveMax = nn::AdaptiveMaxPool##D##d; \
    using AdaptiveAvg = nn::AdaptiveAvgPool##D##d; \
    using BatchNorm = nn::BatchNorm##D##d;         \
    using InstanceNorm = nn::InstanceNorm##D##d;   \
  }
ORACLE_MODULES(1);
ORACLE_MODULES(2);
ORACLE_MODULES(3);
#undef ORACLE_MODULES

std::string text(const Sizes& sizes) {
  std::ostringstream stream;
  for (size_t i = 0; i < sizes.size(); ++i) {
    stream << (i ? "x" : "") << sizes[i];
  }
  return stream.str();
}

int64_t product(const Sizes& sizes, size_t first = 0) {
  int64_t result = 1;
  for (size_t i = first; i < sizes.size(); ++i) {
    result *= sizes[i];
  }
  return result;
}

/// Padding as constant_pad_nd wants it: last axis first, before and after.
Sizes pads_of(const Sizes& before, const Sizes& after) {
  Sizes pads;
  for (size_t d = before.size(); d-- > 0;) {
    pads.push_back(before[d]);
    pads.push_back(after[d]);
  }
  return pads;
}

/// Each output cell is the plain mean over the valid cells of its window, by convolution with a kernel of ones.
Map mean_of_valid_cells(Sizes kernel, Sizes stride, Sizes padding, Sizes dilation, Sizes output) {
  return [=](const at::Tensor& x) {
    const Sizes zeros(kernel.size(), 0);
    Sizes flat_shape{x.size(0) * x.size(1), 1}, window_shape{1, 1}, behind, result{x.size(0), x.size(1)};
    for (size_t d = 0; d < kernel.size(); ++d) {
      const int64_t in = x.size(static_cast<int64_t>(d) + 2);
      flat_shape.push_back(in);
      window_shape.push_back(kernel[d]);
      result.push_back(output[d]);
      const int64_t reach = (output[d] - 1) * stride[d] + (kernel[d] - 1) * dilation[d] + 1 - padding[d];
      behind.push_back(std::max<int64_t>(0, reach - in));
    }
    const at::Tensor flat = x.reshape(flat_shape);
    const at::Tensor window = at::ones(window_shape, x.options());
    const auto sums = [&](const at::Tensor& cells) {
      at::Tensor sum = at::convolution(at::constant_pad_nd(cells, pads_of(padding, behind), 0), window, {}, stride,
                                       zeros, dilation, false, zeros, 1);
      for (size_t d = 0; d < kernel.size(); ++d) {
        sum = sum.narrow(static_cast<int64_t>(d) + 2, 0, output[d]);
      }
      return sum;
    };
    return (sums(flat) / sums(at::ones_like(flat))).reshape(result);
  };
}

class Builder {
 public:
  explicit Builder(uint64_t seed) : random_(seed) {
    torch::manual_seed(seed);
    text_ << "seed " << seed << ": ";
  }

  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int64_t percent) { return pick(0, 99) < percent; }
  Sizes picks(size_t count, int64_t low, int64_t high) {
    Sizes result(count);
    for (auto& value : result) {
      value = pick(low, high);
    }
    return result;
  }

  void input(Sizes shape) {
    shape_ = std::move(shape);
    chain_.input_shape = {2};
    chain_.input_shape.insert(chain_.input_shape.end(), shape_.begin(), shape_.end());
    text_ << "input " << text(shape_);
  }

  template <size_t D>
  void convolution() {
    const bool transposed = chance(20);
    Sizes kernel = picks(D, 1, 4), stride = picks(D, 1, 3), padding = picks(D, 0, chance(10) ? 5 : 2);
    Sizes dilation = picks(D, 1, chance(40) ? 3 : 1), extra(D, 0);
    if (chance(15)) {
      kernel.assign(D, 1), stride.assign(D, 1), padding.assign(D, 0);
    }
    for (size_t d = 0; d < D; ++d) {
      const int64_t in = shape_[d + 1];
      if (transposed) {
        stride[d] = in > 12 ? 1 : std::min<int64_t>(stride[d], 2);
        extra[d] = pick(0, std::max(stride[d], dilation[d]) - 1);
        const int64_t full = (in - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + extra[d] + 1;
        padding[d] = std::min(padding[d], (full - 1) / 2);
      } else if (in + 2 * padding[d] < dilation[d] * (kernel[d] - 1) + 1) {
        dilation[d] = 1;
        kernel[d] = std::min(kernel[d], in + 2 * padding[d]);
      }
    }
    int64_t groups = pick(1, shape_[0]);
    while (shape_[0] % groups != 0) {
      --groups;
    }
    const int64_t in = shape_[0], out = groups * pick(1, groups > 2 ? 2 : 3);
    const bool bias = chance(75);
    text_ << (transposed ? ", convtranspose " : ", conv ") << in << "->" << out << " k" << text(kernel) << " s"
          << text(stride) << " p" << text(padding) << " d" << text(dilation) << " o" << text(extra) << " g" << groups
          << (bias ? " b" : "");
    if (transposed) {
      add_weight_layer("up", typename Modules<D>::Transposed(nn::ConvTransposeOptions<D>(in, out, kernel)
                                                                 .stride(stride)
                                                                 .padding(padding)
                                                                 .output_padding(extra)
                                                                 .dilation(dilation)
                                                                 .groups(groups)
                                                                 .bias(bias)));
    } else {
      add_weight_layer("conv", typename Modules<D>::Convolution(nn::ConvOptions<D>(in, out, kernel)
                                                                    .stride(stride)
                                                                    .padding(padding)
                                                                    .dilation(dilation)
                                                                    .groups(groups)
                                                                    .bias(bias)));
    }
    Step& step = chain_.steps.back();
    step.transposed = transposed;
    step.groups = groups;
    step.apply = [=](const at::Tensor& x, const at::Tensor& weight, bool all_taps) {
      if (transposed || !all_taps) {
        return at::convolution(x, weight, {}, stride, padding, dilation, transposed, extra, groups);
      }
      const Sizes zeros(D, 0);
      return at::convolution(at::constant_pad_nd(x, pads_of(padding, padding), 1), weight, {}, stride, zeros, dilation,
                             false, zeros, groups);
    };
    update_shape([&](const at::Tensor& x) { return step.apply(x, step.weight, false); });
    auto options = dynascope::ConvolutionOptions().stride(stride).padding(padding).dilation(dilation).groups(groups);
    options.transposed(transposed);
    if (transposed) {
      options.output_padding(extra);
    }
    chain_.calls.push_back(
        [=, name = step.name, weight = step.weight, b = step.bias](NetworkBuilder& builder, Value x) {
          return builder.convolution(name, x, weight, b, options);
        });
  }

  void linear(int64_t out) {
    const bool bias = chance(75);
    text_ << ", linear " << shape_[0] << "->" << out << (bias ? " b" : "");
    add_weight_layer("fc", nn::Linear(nn::LinearOptions(shape_[0], out).bias(bias)));
    chain_.steps.back().apply = [](const at::Tensor& x, const at::Tensor& weight, bool) {
      return at::matmul(x, weight.t());
    };
    const Step& step = chain_.steps.back();
    chain_.calls.push_back([name = step.name, weight = step.weight, b = step.bias](NetworkBuilder& builder, Value x) {
      return builder.linear(name, x, weight, b);
    });
    shape_ = {out};
  }

  void flatten() {
    text_ << ", flatten";
    add("flatten", nn::Flatten());
    if (!chain_.steps.empty()) {
      chain_.steps.back().after.push_back([](const at::Tensor& x) { return x.flatten(1); });
    }
    shape_ = {product(shape_)};
    chain_.calls.push_back([shape = shape_](NetworkBuilder& builder, Value x) { return builder.reshape(x, shape); });
  }

  template <size_t D>
  void pool() {
    const int64_t kind = pick(0, 3);
    if (kind < 2) {
      windowed_pool<D>(kind == 0);
      return;
    }
    Sizes output(D);
    for (size_t d = 0; d < D; ++d) {
      output[d] = pick(1, std::min<int64_t>(5, shape_[d + 1] + 1));
    }
    text_ << (kind == 2 ? ", adaptive_max " : ", adaptive_avg ") << text(output);
    using AdaptiveAvg = typename Modules<D>::AdaptiveAvg;
    const Map average = [mean = AdaptiveAvg(output)](const at::Tensor& x) mutable { return mean->forward(x); };
    if (kind == 2) {
      add("pool", typename Modules<D>::AdaptiveMax(output));
    } else {
      add("pool", AdaptiveAvg(output));
    }
    resampled(average);
    chain_.calls.push_back([output](NetworkBuilder& builder, Value x) { return builder.adaptive_pool(x, output); });
  }

  template <size_t D>
  void pointwise() {
    switch (pick(0, 9)) {
      case 0:
        add("act", nn::ReLU());
        break;
      case 1:
        add("act", nn::Tanh());
        break;
      case 2:
        add("act", nn::GELU());
        break;
      case 3:
        add("act", nn::Sigmoid());
        break;
      case 4:
        add("act", nn::LeakyReLU());
        break;
      case 5:
        add("act", nn::SiLU());
        break;
      case 6:
        add("drop", nn::Dropout(0.5));
        break;
      case 7:
        add("norm", typename Modules<D>::BatchNorm(shape_[0]));
        break;
      case 8:
        add("norm", nn::LayerNorm(nn::LayerNormOptions(shape_)));
        break;
      default:
        if (shape_.size() > 1 && product(shape_, 1) > 1) {
          add("norm", nn::GroupNorm(1, shape_[0]));
        }
    }
  }

  bool flat() const { return shape_.size() == 1; }

  Chain finish() {
    if (chance(20)) {
      text_ << ", float64";
      chain_.model->to(at::kDouble);  // keeps the parameters' identity
    }
    chain_.text = text_.str();
    return std::move(chain_);
  }

 private:
  template <typename M>
  std::string add(const std::string& kind, torch::nn::ModuleHolder<M> module) {
    std::string name = kind + std::to_string(++count_);
    chain_.model->push_back(std::string(name), module.ptr());
    return name;
  }

  template <typename M>
  void add_weight_layer(const std::string& kind, torch::nn::ModuleHolder<M> module) {
    Step step;
    step.weight = module->weight;
    step.bias = module->bias;
    step.name = add(kind, module);
    chain_.steps.push_back(std::move(step));
  }

  template <size_t D>
  void windowed_pool(bool max) {
    Sizes kernel = picks(D, 1, 3), stride = picks(D, 1, 3), dilation = max ? picks(D, 1, 2) : Sizes(D, 1), padding(D);
    for (size_t d = 0; d < D; ++d) {
      padding[d] = pick(0, kernel[d] / 2);
      if (shape_[d + 1] < dilation[d] * (kernel[d] - 1) + 1) {  // avg_pool3d refuses what padding would make fit
        kernel[d] = 1, dilation[d] = 1, padding[d] = 0;
      }
    }
    const bool ceil = chance(40), counted = chance(50);
    const at::Tensor zeros = at::zeros(batched(1));
    auto options = dynascope::PoolingOptions(kernel).stride(stride).padding(padding).ceil_mode(ceil);
    text_ << (max ? ", max " : ", avg ") << "k" << text(kernel) << " s" << text(stride) << " p" << text(padding) << " d"
          << text(dilation) << (ceil ? " ceil" : "") << (counted ? " counted" : "");
    if (max) {
      typename Modules<D>::MaxPool module(
          nn::MaxPoolOptions<D>(kernel).stride(stride).padding(padding).dilation(dilation).ceil_mode(ceil));
      const Sizes output = module->forward(zeros).sizes().slice(2).vec();
      const Map mean = mean_of_valid_cells(kernel, stride, padding, dilation, output);
      if (!mean(zeros).isfinite().all().template item<bool>()) {
        text_ << " (left out: a window without cells)";
        return;
      }
      add("pool", module);
      resampled(mean);
      options.dilation(dilation);
      chain_.calls.push_back([options](NetworkBuilder& builder, Value x) { return builder.max_pool(x, options); });
    } else {
      typename Modules<D>::AvgPool module(
          nn::AvgPoolOptions<D>(kernel).stride(stride).padding(padding).ceil_mode(ceil).count_include_pad(counted));
      if (!module->forward(zeros).isfinite().all().template item<bool>()) {
        text_ << " (left out: a window without cells)";
        return;
      }
      add("pool", module);
      resampled([module](const at::Tensor& x) mutable { return module->forward(x); });
      options.count_include_pad(counted);
      chain_.calls.push_back([options](NetworkBuilder& builder, Value x) { return builder.average_pool(x, options); });
    }
  }

  void resampled(const Map& map) {
    chain_.steps.back().after.push_back(map);
    update_shape(map);
  }

  Sizes batched(int64_t batch) const {
    Sizes sizes{batch};
    sizes.insert(sizes.end(), shape_.begin(), shape_.end());
    return sizes;
  }

  void update_shape(const Map& map) {
    const at::NoGradGuard guard;
    shape_ = map(at::zeros(batched(1))).sizes().slice(1).vec();
  }

  Chain chain_;
  std::mt19937_64 random_;
  std::ostringstream text_;
  Sizes shape_;  // without batch
  int count_ = 0;
};

template <size_t D>
void convolutional(Builder& builder, int64_t weight_layers) {
  Sizes shape = builder.picks(1, 1, 4);
  const Sizes space = builder.picks(D, D == 3 ? 3 : 4, D == 3 ? 6 : 12);
  shape.insert(shape.end(), space.begin(), space.end());
  builder.input(shape);
  for (int64_t i = 0; i < weight_layers; ++i) {
    builder.convolution<D>();
    for (int64_t n = builder.pick(0, 3); n > 0; --n) {
      builder.chance(40) ? builder.pool<D>() : builder.pointwise<D>();
    }
  }
}

void perceptron(Builder& builder, int64_t weight_layers) {
  for (int64_t i = 0; i < weight_layers; ++i) {
    builder.linear(builder.pick(1, 6));
    if (builder.chance(60)) {
      builder.pointwise<1>();
    }
  }
}

void convolutional(Builder& builder, size_t dimensions, int64_t weight_layers) {
  dimensions == 1   ? convolutional<1>(builder, weight_layers)
  : dimensions == 2 ? convolutional<2>(builder, weight_layers)
                    : convolutional<3>(builder, weight_layers);
}

}  // namespace

at::Tensor Chain::example() const { return torch::randn(input_shape, steps.front().weight.options()).detach(); }

Chain random_chain(uint64_t seed) {
  Builder builder(seed);
  if (builder.chance(10)) {
    builder.input(builder.picks(1, 1, 9));
    perceptron(builder, builder.pick(1, 4));
    return builder.finish();
  }
  const int64_t kind = builder.pick(0, 9);
  convolutional(builder, kind < 3 ? 1 : kind < 9 ? 2 : 3, builder.pick(1, 3));
  if (builder.chance(50)) {
    builder.flatten();
    perceptron(builder, builder.pick(1, 2));
  }
  return builder.finish();
}

Chain random_single_layer(uint64_t seed) {
  Builder builder(seed);
  const int64_t kind = builder.pick(0, 9);
  convolutional(builder, kind < 3 ? 1 : kind < 9 ? 2 : 3, 1);
  return builder.finish();
}

}  // namespace oracle
