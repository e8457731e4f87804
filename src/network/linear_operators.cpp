// SPDX-License-Identifier: BSD-3-Clause
#include "operators.hpp"

#include <ATen/ATen.h>

#include <map>
#include <string>

namespace dynascope::network {
namespace {

int64_t outputs_of(const Use& use) { return use.layer.weight.size(use.layer.transposed ? 1 : 0); }

bool is_one(const Call& call, const char* name) {
  const Argument* argument = call.find(name);
  return argument == nullptr || !argument->other.isScalar() || argument->other.toScalar().toDouble() == 1.0;
}

void require_activation(const Call& call, const char* name) {
  if (call.signal(name).kind != Signal::Kind::kActivation) {
    throw NotFollowed("it multiplies an activation by no parameter");
  }
}

Activation read_linear(Call& call) {
  const Activation& input = call.activation("input");
  Use use = use_of_parameter(call, call.signal("weight"), "linear", 0);
  use.layer.bias = bias_of(call, "bias", outputs_of(use));
  if (input.dims.empty()) {
    throw NotFollowed("its input has no axis");
  }
  return call.builder.linear(input, input.dims.size() - 1, std::move(use));
}

/// `input` @ `weight`, or `weight` @ `input` where the weight stands on the left.
Activation multiply(Call& call, const char* left, const char* right, const at::Tensor& bias) {
  const bool weight_left = call.signal(left).kind != Signal::Kind::kActivation;
  require_activation(call, weight_left ? right : left);
  const Signal& weight = call.signal(weight_left ? left : right);
  Signal matrix = weight;
  while (weight.kind == Signal::Kind::kParameter && matrix.view.dim() > 2 &&
         (matrix.view.size(0) == 1 || matrix.view.stride(0) == 0)) {
    matrix.view = matrix.view[0];  // a batch of one matrix, or of copies of it
  }
  if (weight.kind == Signal::Kind::kParameter && matrix.view.dim() != 2) {
    throw NotFollowed("its weight has " + std::to_string(weight.view.dim()) + " dimensions");
  }
  const Activation& input = call.activation(weight_left ? right : left);
  Use use = use_of_parameter(call, matrix, "linear", weight_left ? 0 : 1);
  use.layer.bias = bias;
  use.open_bias = !bias.defined();
  const size_t dims = input.dims.size();
  return call.builder.linear(input, weight_left && dims > 1 ? dims - 2 : dims - 1, std::move(use));
}

Activation read_mm(Call& call) { return multiply(call, "self", "mat2", {}); }
Activation read_bmm(Call& call) { return multiply(call, "self", "mat2", {}); }
Activation read_matmul(Call& call) { return multiply(call, "self", "other", {}); }
Activation read_mv(Call& call) { return multiply(call, "self", "vec", {}); }

/// self + left @ right.
Activation multiply_and_add(Call& call, const char* left, const char* right) {
  if (!is_one(call, "beta") || !is_one(call, "alpha")) {
    throw NotFollowed("beta and alpha are not 1");
  }
  const bool vector = call.output_sizes().size() == 1;  // of features only: the bias runs along them either way
  if (!vector && call.signal(left).kind != Signal::Kind::kActivation) {
    throw NotFollowed("its weight stands on the left");
  }
  return multiply(call, left, right, bias_of(call, "self", call.output_sizes().back()));
}

Activation read_addmm(Call& call) { return multiply_and_add(call, "mat1", "mat2"); }
Activation read_baddbmm(Call& call) { return multiply_and_add(call, "batch1", "batch2"); }
Activation read_addmv(Call& call) { return multiply_and_add(call, "mat", "vec"); }

}  // namespace

Reader find_linear_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {
      {"linear", read_linear}, {"mm", read_mm},       {"matmul", read_matmul},   {"mv", read_mv},
      {"bmm", read_bmm},       {"addmm", read_addmm}, {"baddbmm", read_baddbmm}, {"addmv", read_addmv}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
