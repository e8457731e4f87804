// SPDX-License-Identifier: BSD-3-Clause
#include "networks.hpp"

#include <dynascope/trace.hpp>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <string>
#include <utility>
#include <vector>

namespace dynascope::test {
namespace {

class Maker {
 public:
  Maker(at::Device device, at::ScalarType dtype, uint64_t seed)
      : device_(device), dtype_(dtype), generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {}

  // Made on the cpu in float64, so that all devices get the same values.
  at::Tensor values(std::vector<int64_t> shape) {
    return at::randn(shape, generator_, at::TensorOptions(at::kDouble)).to(dtype_).to(device_);
  }

  // The same values one element past the start of their storage.
  at::Tensor misaligned(std::vector<int64_t> shape) {
    const at::Tensor source = values(std::move(shape));
    at::Tensor storage = at::zeros({source.numel() + 1}, source.options());
    storage.slice(0, 1).copy_(source.flatten());
    return storage.slice(0, 1).view(source.sizes());
  }

  int32_t node(std::string name, std::vector<int64_t> shape, Role role = Role::kHidden) {
    NodeLayer layer;
    layer.name = std::move(name);
    layer.shape = std::move(shape);
    layer.role = role;
    layer.input = role == Role::kInput;
    layer.output = role == Role::kOutput;
    network.node_layers.push_back(std::move(layer));
    return static_cast<int32_t>(network.node_layers.size()) - 1;
  }

  WeightLayer& link(std::string name, at::Tensor weight, at::Tensor bias, int32_t source, int32_t target) {
    WeightLayer layer;
    layer.name = std::move(name);
    layer.operator_name = "operator";
    layer.weight = std::move(weight);
    layer.bias = std::move(bias);
    if (source >= 0) {
      layer.sources.emplace_back().node_layer = source;
      layer.targets.emplace_back().node_layer = target;
    }
    network.parameters.push_back({layer.name, layer.weight});
    network.weight_layers.push_back(std::move(layer));
    return network.weight_layers.back();
  }

  Network network;

 private:
  at::Device device_;
  at::ScalarType dtype_;
  at::Generator generator_;
};

// Average pooling, two wide and two apart.
Resampling pooled(int64_t produced) {
  Resampling resampling{produced, produced / 2, {}};
  resampling.coefficients.assign(static_cast<size_t>(produced * (produced / 2)), 0.0);
  for (int64_t seen = 0; seen < produced / 2; ++seen) {
    resampling.coefficients[static_cast<size_t>(seen * produced + 2 * seen)] = 0.5;
    resampling.coefficients[static_cast<size_t>(seen * produced + 2 * seen + 1)] = 0.5;
  }
  return resampling;
}

}  // namespace

Network mixed_network(at::Device device, at::ScalarType dtype, uint64_t seed) {
  Maker maker(device, dtype, seed);
  const int32_t input = maker.node("input", {3, 10, 9}, Role::kInput);
  const int32_t pooled_units = maker.node("conv1", {20, 5, 4});
  const int32_t grouped_units = maker.node("conv2", {40, 3, 2});
  const int32_t wide_units = maker.node("conv3", {6, 5, 4});
  const int32_t output = maker.node("fc", {70}, Role::kOutput);

  WeightLayer& first =
      maker.link("conv1.weight", maker.misaligned({20, 3, 3, 3}), maker.values({20}), input, pooled_units);
  first.axes = {{10, 10, 3, 1, 1, 1}, {9, 9, 3, 1, 1, 1}};
  first.targets[0].resampling = {pooled(10), pooled(9)};
  WeightLayer& grouped = maker.link("conv2.weight", maker.values({40, 10, 3, 3}), {}, pooled_units, grouped_units);
  grouped.groups = 2;
  grouped.axes = {{5, 3, 3, 2, 1, 1}, {4, 2, 3, 2, 1, 1}};
  WeightLayer& wide =
      maker.link("conv3.weight", maker.values({40, 6, 3, 2}), maker.values({6}), grouped_units, wide_units);
  wide.transposed = true;
  wide.axes = {{3, 5, 3, 1, 0, 1}, {2, 4, 2, 2, 0, 1}};
  WeightLayer& dense = maker.link("fc.weight", maker.values({120, 70}).t(), maker.values({70}), wide_units, output);
  dense.sources[0].per_unit = true;
  maker.link("other.weight", maker.values({300, 600}).slice(1, 3, 590), {}, -1, -1);
  return std::move(maker.network);
}

Network skip_network(at::Device device, at::ScalarType dtype, uint64_t seed) {
  torch::manual_seed(seed);
  torch::nn::Module model;
  const auto conv = [&](const char* name, int64_t in, int64_t out, int64_t padding) {
    return model.register_module(
        name, torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 2 * padding + 1).padding(padding)));
  };
  auto stem = conv("stem", 2, 8, 1), block = conv("block", 8, 8, 1), left = conv("left", 8, 4, 0);
  auto right = conv("right", 8, 4, 1);
  auto gate = model.register_module("gate", torch::nn::Linear(8, 8));
  auto head = model.register_module("head", torch::nn::Linear(8 * 3 * 2, 5));
  model.to(device, dtype);
  const at::Tensor x = torch::randn({1, 2, 6, 5}).to(device, dtype);
  return trace(model, [&] {
    const at::Tensor a = stem->forward(x).relu();
    const at::Tensor gated = (block->forward(a) + a) * gate->forward(a.mean({2, 3})).sigmoid().view({1, 8, 1, 1});
    const at::Tensor l = left->forward(gated), r = right->forward(gated);
    const at::Tensor joined = torch::cat({l, r}, 1) + a.flip(1);
    const at::Tensor shrunk = torch::avg_pool2d(joined, 2) + torch::max_pool2d(a, 2);
    return std::vector<at::Tensor>{head->forward(shrunk.flatten(1)), l, a.narrow(1, 2, 4) + r};
  });
}

Network mlp_network(at::Device device, at::ScalarType dtype, uint64_t seed) {
  Maker maker(device, dtype, seed);
  int32_t source = maker.node("input", {784}, Role::kInput);
  int64_t width = 784;
  for (const int64_t next : {200, 100, 10}) {
    const std::string name = "fc" + std::to_string(next);
    const int32_t target = maker.node(name, {next}, next == 10 ? Role::kOutput : Role::kHidden);
    maker.link(name + ".weight", maker.values({next, width}), maker.values({next}), source, target);
    source = target;
    width = next;
  }
  return std::move(maker.network);
}

}  // namespace dynascope::test
