// SPDX-License-Identifier: BSD-3-Clause
#include "flow_builder.hpp"
#include "placement.hpp"
#include "pooling.hpp"

#include <dynascope/error.hpp>
#include <dynascope/network_builder.hpp>

#include <algorithm>
#include <functional>
#include <sstream>
#include <stdexcept>

namespace dynascope {

using network::Activation;
using network::FlowBuilder;

struct NetworkBuilder::State {
  FlowBuilder builder;
  std::vector<Activation> values;
};

namespace {

template <typename... T>
std::string text(const T&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  return message.str();
}

/// One value per axis from one value per axis, one for all, or none.
std::vector<int64_t> per_axis(const std::string& name, const char* what, const std::vector<int64_t>& values,
                              size_t axes, int64_t otherwise) {
  if (values.size() <= 1) {
    return std::vector<int64_t>(axes, values.empty() ? otherwise : values[0]);
  }
  if (values.size() != axes) {
    throw Error(
        text(name, ": ", what, " must have one value or one per position axis (", axes, "), got ", values.size()));
  }
  return values;
}

void require_bias(const std::string& name, const at::Tensor& bias, int64_t outputs) {
  if (bias.defined() && (bias.dim() != 1 || bias.size(0) != outputs)) {
    throw Error(text(name, ": the bias must be (", outputs, ",), got ", bias.sizes()));
  }
}

network::Use use_of(const std::string& name, const char* operator_name, const at::Tensor& weight,
                    const at::Tensor& bias) {
  if (name.empty()) {
    throw std::invalid_argument("a layer must have a name, got an empty one");
  }
  network::Use use;
  use.owner = name;
  use.layer.name = name + ".weight";
  use.layer.operator_name = operator_name;
  use.layer.weight = weight;
  use.layer.bias = bias;
  return use;
}

}  // namespace

NetworkBuilder::NetworkBuilder() : state_(std::make_unique<State>()) {}
NetworkBuilder::~NetworkBuilder() = default;
NetworkBuilder::NetworkBuilder(NetworkBuilder&&) noexcept = default;
NetworkBuilder& NetworkBuilder::operator=(NetworkBuilder&&) noexcept = default;

const NetworkBuilder::State& NetworkBuilder::state_with(Value value) const {
  if (value.position_ < 0 || static_cast<size_t>(value.position_) >= state_->values.size()) {
    throw std::invalid_argument("this value was not made by this builder");
  }
  return *state_;
}

NetworkBuilder::Value NetworkBuilder::add(const std::function<Activation(FlowBuilder&)>& make) {
  try {
    state_->values.push_back(make(state_->builder));
  } catch (const network::NotFollowed& problem) {
    throw Error(problem.what());
  }
  return Value(static_cast<int32_t>(state_->values.size()) - 1);
}

NetworkBuilder::Value NetworkBuilder::input(const std::string& name, const std::vector<int64_t>& shape) {
  if (shape.empty() || std::any_of(shape.begin(), shape.end(), [](int64_t size) { return size < 1; })) {
    throw std::invalid_argument(text("input ", name, " must have a shape of sizes of at least 1"));
  }
  return add([&](FlowBuilder& builder) { return builder.input(name, shape, true, true); });
}

NetworkBuilder::Value NetworkBuilder::linear(const std::string& name, Value source, const at::Tensor& weight,
                                             const at::Tensor& bias) {
  const Activation& value = state_with(source).values[static_cast<size_t>(source.position_)];
  const std::vector<int64_t> shape = state_->builder.sizes(value);
  if (!weight.defined() || weight.dim() != 2) {
    throw Error(text(name, ": a linear layer's weight must be (out, in), got ",
                     weight.defined() ? text(weight.sizes()) : "an undefined tensor"));
  }
  require_bias(name, bias, weight.size(0));
  int64_t units = 1;
  for (const int64_t size : shape) {
    units *= size;
  }
  if (weight.size(1) != units && weight.size(1) != shape[0]) {
    throw Error(text(name, ": the weight has ", weight.size(1), " inputs; the layer that it reads has ", units,
                     " units and ", shape[0], " channels"));
  }
  add_parameters(name, weight, bias);
  return add([&](FlowBuilder& builder) {
    const Activation seen = weight.size(1) == units ? builder.reshape(value, {units}) : value;
    return builder.linear(seen, 0, use_of(name, "linear", weight, bias));
  });
}

NetworkBuilder::Value NetworkBuilder::convolution(const std::string& name, Value source, const at::Tensor& weight,
                                                  const at::Tensor& bias, const ConvolutionOptions& options) {
  const Activation& value = state_with(source).values[static_cast<size_t>(source.position_)];
  const std::vector<int64_t> shape = state_->builder.sizes(value);
  if (!weight.defined() || weight.dim() < 3 || weight.dim() > 5) {
    throw Error(text(name, ": a convolution's weight must be (out, in / groups, 1 to 3 kernel sizes), got ",
                     weight.defined() ? text(weight.sizes()) : "an undefined tensor"));
  }
  const auto axes = static_cast<size_t>(weight.dim()) - 2;
  if (shape.size() != axes + 1) {
    throw Error(text(name, ": a weight with ", axes, " kernel sizes reads layers with as many position axes, got ",
                     shape.size() - 1));
  }
  const bool transposed = options.transposed();
  const int64_t inputs = transposed ? weight.size(0) : weight.size(1) * options.groups();
  const int64_t outputs = transposed ? weight.size(1) * options.groups() : weight.size(0);
  if (options.groups() < 1 || weight.size(0) % options.groups() != 0 || inputs != shape[0]) {
    throw Error(text(name, ": the weight ", weight.sizes(), " with ", options.groups(), " groups has ", inputs,
                     " input channels, the layer that it reads has ", shape[0]));
  }
  require_bias(name, bias, outputs);
  network::Convolution convolution{per_axis(name, "stride", options.stride(), axes, 1),
                                   per_axis(name, "padding", options.padding(), axes, 0),
                                   per_axis(name, "dilation", options.dilation(), axes, 1),
                                   {}};
  const auto extra = per_axis(name, "output_padding", options.output_padding(), axes, 0);
  for (size_t i = 0; i < axes; ++i) {
    const int64_t reach = convolution.dilation[i] * (weight.size(static_cast<int64_t>(i) + 2) - 1) + 1;
    const int64_t room = shape[i + 1] + 2 * convolution.padding[i] - reach;
    convolution.output.push_back(transposed ? (shape[i + 1] - 1) * convolution.stride[i] - 2 * convolution.padding[i] +
                                                  reach + extra[i]
                                 : room < 0 ? 0
                                            : room / convolution.stride[i] + 1);
    if (convolution.output.back() < 1) {
      throw Error(text(name, ": a kernel that reaches over ", reach, " coordinates does not fit position axis ", i,
                       " of size ", shape[i + 1]));
    }
  }
  const std::string operator_name = text(transposed ? "conv_transpose" : "conv", axes, "d");
  network::Use use = use_of(name, operator_name.c_str(), weight, bias);
  use.layer.transposed = transposed;
  use.layer.groups = options.groups();
  add_parameters(name, weight, bias);
  return add([&](FlowBuilder& builder) { return builder.convolve(value, 0, std::move(use), std::move(convolution)); });
}

NetworkBuilder::Value NetworkBuilder::resample(Value source, const std::vector<Resampling>& axes) {
  const Activation& value = state_with(source).values[static_cast<size_t>(source.position_)];
  const std::vector<int64_t> shape = state_->builder.sizes(value);
  if (axes.size() != shape.size() - 1) {
    throw Error(
        text("resampling needs an entry for each of the ", shape.size() - 1, " position axes, got ", axes.size()));
  }
  return add([&](FlowBuilder& builder) {
    Activation result = value;
    for (size_t axis = 0; axis < axes.size(); ++axis) {
      const Resampling& resampling = axes[axis];
      if (resampling.coefficients.empty()) {
        continue;
      }
      if (resampling.produced != shape[axis + 1] || resampling.seen < 1 ||
          static_cast<int64_t>(resampling.coefficients.size()) != resampling.seen * resampling.produced) {
        throw Error(text("resampling of position axis ", axis, " must map its ", shape[axis + 1],
                         " coordinates with seen x produced coefficients, got ", resampling.seen, " x ",
                         resampling.produced, " and ", resampling.coefficients.size(), " coefficients"));
      }
      result = builder.resample(result, axis + 1, resampling);
    }
    return result;
  });
}

NetworkBuilder::Value NetworkBuilder::pool(Value source, const PoolingOptions& options, bool average) {
  const Activation& value = state_with(source).values[static_cast<size_t>(source.position_)];
  const std::vector<int64_t> shape = state_->builder.sizes(value);
  const size_t axes = shape.size() - 1;
  const auto kernel = per_axis("pooling", "kernel", options.kernel(), axes, 1);
  const auto stride = options.stride().empty() ? kernel : per_axis("pooling", "stride", options.stride(), axes, 1);
  const auto padding = per_axis("pooling", "padding", options.padding(), axes, 0);
  const auto dilation = per_axis("pooling", "dilation", options.dilation(), axes, 1);
  std::vector<Resampling> resamplings;
  for (size_t i = 0; i < axes; ++i) {
    const network::Window window{kernel[i], stride[i], padding[i], average ? 1 : dilation[i], options.ceil_mode()};
    if (kernel[i] < 1 || stride[i] < 1 || padding[i] < 0 || 2 * padding[i] > kernel[i] || dilation[i] < 1 ||
        network::pooled_size(shape[i + 1], window) < 1) {
      throw Error(text("pooling with kernel ", kernel[i], ", stride ", stride[i], ", padding ", padding[i],
                       " does not fit position axis ", i, " of size ", shape[i + 1]));
    }
    resamplings.push_back(average ? network::average_pooling(shape[i + 1], window, options.count_include_pad())
                                  : network::max_pooling(shape[i + 1], window));
  }
  return resample(source, resamplings);
}

NetworkBuilder::Value NetworkBuilder::average_pool(Value source, const PoolingOptions& options) {
  return pool(source, options, true);
}

NetworkBuilder::Value NetworkBuilder::max_pool(Value source, const PoolingOptions& options) {
  return pool(source, options, false);
}

NetworkBuilder::Value NetworkBuilder::adaptive_pool(Value source, const std::vector<int64_t>& sizes) {
  const Activation& value = state_with(source).values[static_cast<size_t>(source.position_)];
  const std::vector<int64_t> shape = state_->builder.sizes(value);
  const auto outputs = per_axis("adaptive pooling", "sizes", sizes, shape.size() - 1, 1);
  std::vector<Resampling> resamplings;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] < 1) {
      throw Error(text("adaptive pooling must have sizes of at least 1, got ", outputs[i]));
    }
    resamplings.push_back(network::adaptive_pooling(shape[i + 1], outputs[i]));
  }
  return resample(source, resamplings);
}

NetworkBuilder::Value NetworkBuilder::reshape(Value source, const std::vector<int64_t>& shape) {
  const Activation& value = state_with(source).values[static_cast<size_t>(source.position_)];
  if (shape.empty()) {
    throw std::invalid_argument("a layer must have at least one axis");
  }
  return add([&](FlowBuilder& builder) { return builder.reshape(value, shape); });
}

std::vector<Activation> NetworkBuilder::activations(const std::vector<Value>& values) const {
  std::vector<Activation> found;
  found.reserve(values.size());
  for (const Value value : values) {
    found.push_back(state_with(value).values[static_cast<size_t>(value.position_)]);
  }
  return found;
}

NetworkBuilder::Value NetworkBuilder::combine(const std::vector<Value>& values, bool product) {
  const char* what = product ? "a product" : "a sum";
  if (values.size() < 2) {
    throw std::invalid_argument(text(what, " must be of two values or more, got ", values.size()));
  }
  const std::vector<Activation> operands = activations(values);
  const std::vector<int64_t> shape = state_->builder.sizes(operands[0]);
  for (const Activation& operand : operands) {
    if (const auto other = state_->builder.sizes(operand); other != shape) {
      throw Error(
          text(what, " must be of values of one shape, got ", at::IntArrayRef(shape), " and ", at::IntArrayRef(other)));
    }
  }
  return add([&](FlowBuilder& builder) { return builder.sum(operands, shape, product); });
}

NetworkBuilder::Value NetworkBuilder::sum(const std::vector<Value>& values) { return combine(values, false); }
NetworkBuilder::Value NetworkBuilder::product(const std::vector<Value>& values) { return combine(values, true); }

NetworkBuilder::Value NetworkBuilder::concatenate(const std::vector<Value>& values) {
  if (values.empty()) {
    throw std::invalid_argument("a concatenation must be of one value or more, got none");
  }
  const std::vector<Activation> operands = activations(values);
  std::vector<int64_t> shape = state_->builder.sizes(operands[0]);
  std::vector<FlowBuilder::Part> parts;
  shape[0] = 0;
  for (const Activation& operand : operands) {
    const std::vector<int64_t> other = state_->builder.sizes(operand);
    if (!std::equal(shape.begin() + 1, shape.end(), other.begin() + 1, other.end())) {
      throw Error(text("values that are concatenated must have the same positions, got ",
                       at::IntArrayRef(shape).slice(1), " and ", at::IntArrayRef(other).slice(1)));
    }
    parts.push_back({operand, other[0]});
    shape[0] += other[0];
  }
  return add([&](FlowBuilder& builder) { return builder.join(parts, 0, shape); });
}

NetworkBuilder::Value NetworkBuilder::slice(Value source, int64_t first, int64_t count) {
  const Activation& value = state_with(source).values[static_cast<size_t>(source.position_)];
  const int64_t features = state_->builder.sizes(value)[0];
  if (first < 0 || count < 1 || first > features - count) {
    throw Error(text("a slice must lie in the ", features, " features or channels, got ", count, " from ", first));
  }
  return add([&](FlowBuilder& builder) { return builder.slice(value, 0, first, count); });
}

void NetworkBuilder::output(Value value) {
  state_->builder.output(state_with(value).values[static_cast<size_t>(value.position_)]);
}

void NetworkBuilder::parameter(const std::string& name, const at::Tensor& value) {
  auto& parameters = state_->builder.flow.parameters;
  const bool known = std::any_of(parameters.begin(), parameters.end(),
                                 [&](const NamedParameter& other) { return other.value.is_same(value); });
  if (value.defined() && !known) {
    parameters.push_back({name, value});
  }
}

void NetworkBuilder::add_parameters(const std::string& name, const at::Tensor& weight, const at::Tensor& bias) {
  parameter(name + ".weight", weight);
  parameter(name + ".bias", bias);
}

Network NetworkBuilder::build() const {
  if (state_->builder.flow.uses.empty()) {
    throw Error("a network must have at least one weight layer; add one with linear() or convolution()");
  }
  Network result = network::place(state_->builder.flow);
  check(result);
  return result;
}

}  // namespace dynascope
