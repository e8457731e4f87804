// SPDX-License-Identifier: BSD-3-Clause
#include "operators.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace dynascope::network {
namespace {

const std::set<std::string>& transparent() {
  static const std::set<std::string> kNames = {
      // activations
      "relu", "relu6", "leaky_relu", "gelu", "elu", "selu", "celu", "silu", "mish", "sigmoid", "log_sigmoid", "tanh",
      "hardtanh", "hardsigmoid", "hardswish", "softplus", "softshrink", "hardshrink", "threshold", "prelu", "rrelu",
      "softmax", "log_softmax", "_softmax", "_log_softmax", "sin", "cos", "exp", "expm1", "log", "log1p", "sqrt",
      "rsqrt", "abs", "neg", "negative", "square", "reciprocal", "erf", "pow", "clamp", "clamp_min", "clamp_max",
      "clip", "nan_to_num",
      // other functions of one number
      "absolute", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cosh", "erfc", "erfinv", "exp2", "fix",
      "float_power", "floor", "fmod", "frac", "logit", "log10", "log2", "positive", "remainder", "round", "sgn", "sign",
      "sinc", "sinh", "tan", "trunc",
      // of several, where all but one are constants: of two activations these are a barrier
      "addcdiv", "addcmul", "atan2", "copysign", "fmax", "fmin", "hypot", "lerp", "logaddexp", "logaddexp2", "maximum",
      "minimum", "xlogy",
      // dropout
      "dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "native_dropout",
      // normalisation
      "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "native_batch_norm", "native_layer_norm",
      "native_group_norm", "_batch_norm_impl_index", "cudnn_batch_norm", "_fused_rms_norm",
      // scalars, parameters, buffers and constants that are broadcast to the tensor
      "add", "sub", "subtract", "rsub", "mul", "multiply", "div", "divide", "true_divide", "masked_fill", "where",
      // the same values elsewhere
      "to", "_to_copy", "type_as", "contiguous", "clone", "detach", "alias", "lift_fresh", "copy",
      "_autocast_to_full_precision", "_autocast_to_reduced_precision", "cpu", "cuda", "view_as_real_copy"};
  return kNames;
}

const std::set<std::string>& factories() {
  static const std::set<std::string> kNames = {"zeros_like", "ones_like",  "full_like",    "empty_like",
                                               "rand_like",  "randn_like", "new_zeros",    "new_ones",
                                               "new_full",   "new_empty",  "randint_like", "new_empty_strided"};
  return kNames;
}

const std::map<std::string, std::string>& unplaced_layers() {
  static const std::map<std::string, std::string> kNames = {
      {"bilinear", "a layer that multiplies two inputs"},
      {"_native_multi_head_attention", "attention"},
      {"_transformer_encoder_layer_fwd", "a fused transformer layer"}};
  return kNames;
}

}  // namespace

std::string plain_name(const std::string& name) {
  if (name.rfind("aten::", 0) != 0) {
    return "";
  }
  std::string result = name.substr(6);
  if (result.size() > 1 && result.back() == '_' && result[result.size() - 2] != '_') {
    result.pop_back();
  }
  return result;
}

size_t wrap(int64_t dim, size_t rank) { return static_cast<size_t>(dim < 0 ? dim + static_cast<int64_t>(rank) : dim); }

bool is_transparent(const std::string& name) { return transparent().count(plain_name(name)) != 0; }

bool transposes(const Operation& operation) {
  static const std::set<std::string> kWhole = {"t", "numpy_T", "mT"};
  static const std::set<std::string> kOfTwoAxes = {"transpose", "swapaxes", "swapdims"};
  const std::string key = plain_name(operation.name);
  std::vector<int64_t> axes;
  for (const Argument& argument : operation.arguments) {
    if (argument.other.isInt()) {
      axes.push_back(argument.other.toInt());
    } else if (argument.other.isIntList()) {
      axes = argument.other.toIntVector();
    }
  }
  const bool exchanged = axes.size() == 2 && wrap(axes[0], 2) != wrap(axes[1], 2);
  return kWhole.count(key) != 0 || (exchanged && kOfTwoAxes.count(key) != 0) ||
         (exchanged && wrap(axes[0], 2) == 1 && key == "permute");
}

bool is_factory(const std::string& name) { return factories().count(plain_name(name)) != 0; }

std::string unplaced_layer(const std::string& name) {
  const auto found = unplaced_layers().find(plain_name(name));
  return found == unplaced_layers().end() ? "" : found->second;
}

Reader find_reader(const std::string& name) {
  const std::string key = plain_name(name);
  for (const auto find : {find_linear_reader, find_convolution_reader, find_pooling_reader, find_shape_reader,
                          find_join_reader, find_padding_reader, find_upsampling_reader, find_embedding_reader,
                          find_recurrent_reader, find_attention_reader}) {
    if (const Reader reader = find(key); reader != nullptr) {
      return reader;
    }
  }
  return nullptr;
}

bool is_placed_layer(const std::string& name) {
  const std::string key = plain_name(name);
  return find_linear_reader(key) != nullptr || find_convolution_reader(key) != nullptr ||
         find_embedding_reader(key) != nullptr || find_recurrent_reader(key) != nullptr;
}

Combination combination_of(const std::string& name) {
  static const std::set<std::string> kSums = {"add", "sub", "subtract", "rsub"};
  static const std::set<std::string> kProducts = {"mul", "multiply", "div", "divide", "true_divide"};
  const std::string key = plain_name(name);
  return kSums.count(key) != 0       ? Combination::kSum
         : kProducts.count(key) != 0 ? Combination::kProduct
                                     : Combination::kNone;
}

bool is_contraction(const std::string& name) {
  static const std::set<std::string> kNames = {"mm", "bmm", "matmul", "baddbmm", "addmm", "mv", "dot"};
  return kNames.count(plain_name(name)) != 0;
}

bool is_layer(const std::string& name) { return !unplaced_layer(name).empty() || is_placed_layer(name); }

bool is_whole(const std::string& name) {
  return is_transparent(name) || is_factory(name) || !unplaced_layer(name).empty() || find_reader(name) != nullptr;
}

const Argument* Call::find(const char* name) const {
  for (const Argument& argument : operation.arguments) {
    if (argument.name == name) {
      return &argument;
    }
  }
  return nullptr;
}

bool Call::has(const char* name) const {
  const Argument* argument = find(name);
  return argument != nullptr && argument->values.size() == 1 && argument->values[0] >= 0;
}

const Signal& Call::signal(const char* name) const {
  if (!has(name)) {
    throw NotFollowed(std::string("operand ") + name + " is missing");
  }
  return signals[static_cast<size_t>(find(name)->values[0])];
}

const Activation& Call::activation(const char* name) const {
  const Signal& operand = signal(name);
  if (operand.kind != Signal::Kind::kActivation) {
    throw NotFollowed(std::string("operand ") + name + " is no activation");
  }
  return operand.activation;
}

int64_t Call::integer(const char* name, int64_t otherwise) const {
  const Argument* argument = find(name);
  return argument != nullptr && argument->other.isInt() ? argument->other.toInt() : otherwise;
}

bool Call::flag(const char* name, bool otherwise) const {
  const Argument* argument = find(name);
  return argument != nullptr && argument->other.isBool() ? argument->other.toBool() : otherwise;
}

std::vector<int64_t> Call::integers(const char* name, size_t count, int64_t otherwise) const {
  const Argument* argument = find(name);
  std::vector<int64_t> result;
  if (argument != nullptr && argument->other.isIntList()) {
    result = argument->other.toIntVector();
  } else if (argument != nullptr && argument->other.isInt()) {
    result = {argument->other.toInt()};
  }
  if (result.size() <= 1 && count > 0) {
    result.assign(count, result.empty() ? otherwise : result[0]);
  }
  if (count > 0 && result.size() != count) {
    throw NotFollowed(std::string("argument ") + name + " does not have one value per axis");
  }
  return result;
}

const std::vector<int64_t>& Call::output_sizes(size_t output) const {
  return values[static_cast<size_t>(operation.outputs.at(output))].sizes;
}

std::vector<const Signal*> Call::list(const char* name) const {
  std::vector<const Signal*> result;
  if (const Argument* argument = find(name); argument != nullptr) {
    for (const ValueId id : argument->values) {
      if (id < 0) {
        throw NotFollowed(std::string("list ") + name + " has a gap");
      }
      result.push_back(&signals[static_cast<size_t>(id)]);
    }
  }
  return result;
}

std::vector<Activation> Call::activations() const {
  std::vector<Activation> result;
  for (const Argument& argument : operation.arguments) {
    for (const ValueId id : argument.values) {
      if (id >= 0 && signals[static_cast<size_t>(id)].kind == Signal::Kind::kActivation) {
        result.push_back(signals[static_cast<size_t>(id)].activation);
      }
    }
  }
  return result;
}

}  // namespace dynascope::network
