// SPDX-License-Identifier: BSD-3-Clause
#include "drawing.hpp"

#include <torch/torch.h>

#include <utility>

namespace oracle {
namespace {

namespace nn = torch::nn;
using Kind = GraphNode::Kind;
using Tensors = std::vector<at::Tensor>;

GraphNode node_of(Kind kind, std::vector<size_t> arguments) {
  GraphNode node;
  node.kind = kind;
  node.arguments = std::move(arguments);
  return node;
}

std::vector<int64_t> pair(const torch::ExpandingArray<2>& values) { return {values->at(0), values->at(1)}; }

}  // namespace

Drawing::Drawing(std::vector<int64_t> input) : graph_(std::make_shared<Graph>()) {
  GraphNode node;
  node.sizes = std::move(input);
  node.name = "input";
  add(std::move(node), "input");
}

size_t Drawing::add(GraphNode node, const std::string& what) {
  if (node.sizes.empty()) {
    const torch::NoGradGuard no_grad;
    Tensors arguments;
    for (const size_t argument : node.arguments) {
      arguments.push_back(torch::zeros(sizes(argument)));
    }
    graph_->module.eval();
    node.sizes = node.run(arguments).sizes().vec();
  }
  graph_->text += std::to_string(graph_->nodes.size()) + " = " + what + "(";
  for (const size_t argument : node.arguments) {
    graph_->text += " " + std::to_string(argument);
  }
  graph_->text += " ) " + c10::str(at::IntArrayRef(node.sizes)) + "\n";
  graph_->nodes.push_back(std::move(node));
  return graph_->nodes.size() - 1;
}

size_t Drawing::convolution(const std::string& name, size_t from, const nn::Conv2dOptions& options, bool mirrored) {
  const auto conv = graph_->module.register_module(name, nn::Conv2d(options));
  GraphNode node = node_of(Kind::kWeight, {from});
  node.name = name;
  node.bias = conv->bias;
  node.run = [conv](const Tensors& x) mutable { return conv->forward(x[0]); };
  const at::Tensor weight = conv->weight;
  const int64_t groups = options.groups();
  const std::vector<int64_t> stride = pair(options.stride()), apart = pair(options.dilation());
  const std::vector<int64_t> padding = pair(std::get<torch::ExpandingArray<2>>(options.padding()));
  node.map = [=](const at::Tensor& x) {
    const at::Tensor cells = mirrored ? at::reflection_pad2d(x, {padding[1], padding[1], padding[0], padding[0]}) : x;
    return at::conv2d(cells, weight.detach().to(at::kDouble), at::Tensor(), stride,
                      mirrored ? std::vector<int64_t>(2, 0) : padding, apart, groups);
  };
  return add(std::move(node), name + " k" + std::to_string(weight.size(2)) + " g" + std::to_string(groups) +
                                  (mirrored ? " reflect" : ""));
}

size_t Drawing::transposed(const std::string& name, size_t from, const nn::ConvTranspose2dOptions& options) {
  const auto up = graph_->module.register_module(name, nn::ConvTranspose2d(options));
  GraphNode node = node_of(Kind::kWeight, {from});
  node.name = name;
  node.bias = up->bias;
  node.run = [up](const Tensors& x) mutable { return up->forward(x[0]); };
  const at::Tensor weight = up->weight;
  const int64_t groups = options.groups();
  const std::vector<int64_t> stride = pair(options.stride()), apart = pair(options.dilation());
  const std::vector<int64_t> padding = pair(options.padding()), extra = pair(options.output_padding());
  node.map = [=](const at::Tensor& x) {
    return at::conv_transpose2d(x, weight.detach().to(at::kDouble), at::Tensor(), stride, padding, extra, groups,
                                apart);
  };
  return add(std::move(node), name + " transposed g" + std::to_string(groups));
}

size_t Drawing::linear(const std::string& name, size_t from, int64_t outputs) {
  const auto fc = graph_->module.register_module(name, nn::Linear(c10::multiply_integers(sizes(from)), outputs));
  GraphNode node = node_of(Kind::kWeight, {from});
  node.name = name;
  node.bias = fc->bias;
  node.run = [fc](const Tensors& x) mutable { return fc->forward(x[0].flatten(1)); };
  const at::Tensor weight = fc->weight;
  node.map = [weight](const at::Tensor& x) { return at::linear(x.flatten(1), weight.detach().to(at::kDouble)); };
  return add(std::move(node), name);
}

size_t Drawing::layer(const std::string& name, size_t from, std::shared_ptr<nn::Module> module, const at::Tensor& bias,
                      Map run, Map map) {
  graph_->module.register_module(name, std::move(module));
  GraphNode node = node_of(Kind::kWeight, {from});
  node.name = name;
  node.bias = bias;
  node.run = [run = std::move(run)](const Tensors& x) { return run(x[0]); };
  node.map = std::move(map);
  return add(std::move(node), name);
}

size_t Drawing::resampling(const std::string& what, size_t from, Map map, Map run) {
  GraphNode node = node_of(Kind::kResampling, {from});
  node.run = [run = run ? run : map](const Tensors& x) { return run(x[0]); };
  node.map = std::move(map);
  return add(std::move(node), what);
}

size_t Drawing::window(size_t from, bool most) {
  const auto average = [](const at::Tensor& x) { return at::avg_pool2d(x, 2); };
  const auto largest = [](const at::Tensor& x) { return at::max_pool2d(x, 2); };
  return most ? resampling("max of 2", from, average, largest) : resampling("mean of 2", from, average);
}

size_t Drawing::mean(size_t from) {
  return resampling("mean", from, [](const at::Tensor& x) { return x.mean({2, 3}, true); });
}

size_t Drawing::transparent(const std::string& what, size_t from, Map run, std::shared_ptr<nn::Module> module) {
  if (module != nullptr) {
    graph_->module.register_module("transparent" + std::to_string(graph_->nodes.size()), std::move(module));
  }
  GraphNode node = node_of(Kind::kTransparent, {from});
  node.run = [run = std::move(run)](const Tensors& x) { return run(x[0]); };
  return add(std::move(node), what);
}

size_t Drawing::relu(size_t from, bool in_place) {
  GraphNode node = node_of(Kind::kTransparent, {from});
  node.run = [in_place](const Tensors& x) { return in_place ? x[0].clone().relu_() : torch::relu(x[0]); };
  return add(std::move(node), "relu");
}

size_t Drawing::norm(size_t from) {
  const std::string name = "norm" + std::to_string(graph_->nodes.size());
  const auto norm = graph_->module.register_module(name, nn::BatchNorm2d(sizes(from)[1]));
  GraphNode node = node_of(Kind::kTransparent, {from});
  node.run = [norm](const Tensors& x) mutable { return norm->forward(x[0]); };
  return add(std::move(node), "batch_norm");
}

size_t Drawing::sum(size_t a, size_t b, Sum how) {
  GraphNode node = node_of(Kind::kSum, {a, b});
  node.name = how == Sum::kTimes ? "mul" : "add";
  node.run = [how](const Tensors& x) {
    return how == Sum::kPlus      ? x[0] + x[1]
           : how == Sum::kMinus   ? x[0] - x[1]
           : how == Sum::kInPlace ? x[0].clone().add_(x[1])
                                  : x[0] * x[1];
  };
  const std::string name = node.name;
  return add(std::move(node), name);
}

size_t Drawing::cat(const std::vector<size_t>& parts) {
  GraphNode node = node_of(Kind::kCat, parts);
  node.run = [](const Tensors& x) { return at::cat(x, 1); };
  return add(std::move(node), "cat");
}

size_t Drawing::slice(size_t from, int64_t first, int64_t count) {
  GraphNode node = node_of(Kind::kSlice, {from});
  node.first = first;
  node.count = count;
  node.run = [first, count](const Tensors& x) { return x[0].narrow(1, first, count); };
  return add(std::move(node), "slice from " + std::to_string(first));
}

std::shared_ptr<Graph> Drawing::finish(size_t node) {
  GraphNode output = node_of(Kind::kOutput, {node});
  output.run = [](const Tensors& x) { return x[0]; };
  add(std::move(output), "output");
  return graph_;
}

}  // namespace oracle
