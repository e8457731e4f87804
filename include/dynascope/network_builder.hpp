// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/network.hpp>
#include <dynascope/option.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dynascope {

namespace network {
struct Activation;
class FlowBuilder;
}  // namespace network

/// How a convolution moves over its input. One value per position axis, or one for all; empty: 1 (padding: 0).
class ConvolutionOptions {
 public:
  DYNASCOPE_OPTION(std::vector<int64_t>, stride);
  DYNASCOPE_OPTION(std::vector<int64_t>, padding);
  DYNASCOPE_OPTION(std::vector<int64_t>, dilation);
  DYNASCOPE_OPTION(std::vector<int64_t>, output_padding);  ///< transposed convolutions only
  DYNASCOPE_OPTION(int64_t, groups) = 1;
  DYNASCOPE_OPTION(bool, transposed) = false;
};

/// A pooling window. One value per position axis, or one for all; an empty stride is the kernel.
class PoolingOptions {
 public:
  explicit PoolingOptions(std::vector<int64_t> kernel) : kernel_(std::move(kernel)) {}

  DYNASCOPE_OPTION(std::vector<int64_t>, kernel);
  DYNASCOPE_OPTION(std::vector<int64_t>, stride);
  DYNASCOPE_OPTION(std::vector<int64_t>, padding);
  DYNASCOPE_OPTION(std::vector<int64_t>, dilation);  ///< max_pool only
  DYNASCOPE_OPTION(bool, ceil_mode) = false;
  DYNASCOPE_OPTION(bool, count_include_pad) = true;  ///< average_pool only
};

/// Makes by hand the Network that trace() would find, from any tensors: no module and no forward pass needed. Those of
/// a torch::jit::Module are its named_parameters().
///
/// ```cpp
/// NetworkBuilder builder;
/// auto x = builder.input("input", {1, 28, 28});
/// auto h = builder.convolution("conv1", x, weight, bias, ConvolutionOptions().padding({2}));
/// h = builder.max_pool(h, PoolingOptions({2}));
/// auto y = builder.linear("fc", h, fc_weight, fc_bias);
/// builder.output(y);
/// Network network = builder.build();
/// ```
/// Activations, dropout and normalisation need no call: they are transparent. Shapes have no batch axis.
/// Tensors are held, not copied: the network sees their values as they change in place.
class DYNASCOPE_API NetworkBuilder {
 public:
  /// A tensor between layers; a small handle, valid for the builder that made it.
  class Value {
   public:
    Value() = default;

   private:
    friend class NetworkBuilder;
    explicit Value(int32_t position) : position_(position) {}
    int32_t position_ = -1;
  };

  NetworkBuilder();
  ~NetworkBuilder();
  NetworkBuilder(NetworkBuilder&&) noexcept;
  NetworkBuilder& operator=(NetworkBuilder&&) noexcept;

  /// An input: features or channels first, then positions.
  /// @throws std::invalid_argument when `shape` is empty or has a size below 1
  Value input(const std::string& name, const std::vector<int64_t>& shape);

  /// A fully connected layer; its weight layer is called `name` + ".weight".
  ///
  /// Where `source` has positions: reads it flattened when `weight` has as many inputs as `source` has units, position
  /// by position when it has as many as `source` has channels.
  ///
  /// @param weight  (out, in)
  /// @param bias    (out,), or undefined
  /// @throws Error when the sizes do not fit (says which)
  Value linear(const std::string& name, Value source, const at::Tensor& weight, const at::Tensor& bias = {});

  /// A convolution over as many position axes as `weight` has kernel dimensions.
  ///
  /// @param weight  (out, in / groups, kernel...); transposed: (in, out / groups, kernel...)
  /// @param bias    (out,), or undefined
  /// @throws Error when the sizes do not fit (says which)
  Value convolution(const std::string& name, Value source, const at::Tensor& weight, const at::Tensor& bias = {},
                    const ConvolutionOptions& options = {});

  /// What pooling or any other linear map along position axes makes of `source`.
  ///
  /// @param axes  one per position axis of `source`; an entry with empty coefficients leaves its axis as it is
  /// @throws Error when the sizes do not fit (says which)
  Value resample(Value source, const std::vector<Resampling>& axes);

  /// resample() with the coefficients of average pooling.
  Value average_pool(Value source, const PoolingOptions& options);

  /// resample() with the coefficients of max pooling: uniform over the window clipped to valid cells.
  Value max_pool(Value source, const PoolingOptions& options);

  /// resample() with the coefficients of adaptive pooling to `sizes`, one per position axis or one for all.
  Value adaptive_pool(Value source, const std::vector<int64_t>& sizes);

  /// `source` with its units, in row-major order, in another shape: what a reader of a view sees.
  /// @throws Error when the sizes do not fit, or units cannot be followed into `shape`
  Value reshape(Value source, const std::vector<int64_t>& shape);

  /// The sum of values of one shape: unit by unit one node layer, with the links of all of them (docs/metrics.md,
  /// section 1, rule 5). An operand that others read too keeps its node layer, and identity links lead from it to the
  /// sum.
  /// @throws Error when the shapes differ; std::invalid_argument without two values
  Value sum(const std::vector<Value>& values);

  /// The elementwise product of values of one shape: links as sum().
  Value product(const std::vector<Value>& values);

  /// Values one after the other along their features or channels.
  /// @throws Error when their positions differ; std::invalid_argument without a value
  Value concatenate(const std::vector<Value>& values);

  /// Features or channels `first` to `first + count - 1` of `source`.
  /// @throws Error when it has not as many
  Value slice(Value source, int64_t first, int64_t count);

  /// Marks `value` as an output.
  void output(Value value);

  /// A tensor that belongs to the network without linking units; it is recorded with option record_parameters.
  void parameter(const std::string& name, const at::Tensor& value);

  /// The network so far; check()ed.
  /// @throws Error when there is no weight layer
  Network build() const;

 private:
  struct State;
  const State& state_with(Value value) const;
  Value add(const std::function<network::Activation(network::FlowBuilder&)>& make);
  Value pool(Value source, const PoolingOptions& options, bool average);
  Value combine(const std::vector<Value>& values, bool product);
  std::vector<network::Activation> activations(const std::vector<Value>& values) const;
  void add_parameters(const std::string& name, const at::Tensor& weight, const at::Tensor& bias);

  std::unique_ptr<State> state_;
};

}  // namespace dynascope
