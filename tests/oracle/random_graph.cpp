// SPDX-License-Identifier: BSD-3-Clause
#include "graph.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <set>

namespace oracle {
namespace {

namespace F = torch::nn::functional;
namespace nn = torch::nn;
using Kind = GraphNode::Kind;
using Tensors = std::vector<at::Tensor>;

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed), graph_(std::make_shared<Graph>()) { torch::manual_seed(seed); }

  std::shared_ptr<Graph> run() {
    GraphNode input;
    input.sizes = {1, pick(1, 3), pick(5, 9), pick(5, 9)};
    input.name = "input";
    add(std::move(input), "input");
    convolve(0);
    for (int64_t steps = pick(3, 9); steps > 0; --steps) {
      step();
    }
    finish();
    return graph_;
  }

 private:
  int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  bool chance(int64_t percent) { return pick(1, 100) <= percent; }
  const std::vector<int64_t>& sizes(size_t node) const { return graph_->nodes[node].sizes; }
  size_t any() { return static_cast<size_t>(pick(std::max<int64_t>(1, newest() - 4), newest())); }
  int64_t newest() const { return static_cast<int64_t>(graph_->nodes.size()) - 1; }

  size_t add(GraphNode node, const std::string& what) {
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

  size_t transparent(size_t from) {
    if (chance(40)) {
      return from;
    }
    GraphNode node;
    node.kind = Kind::kTransparent;
    node.arguments = {from};
    const int64_t channels = sizes(from)[1];
    if (chance(50)) {
      const bool in_place = chance(30);
      node.run = [in_place](const Tensors& x) { return in_place ? x[0].clone().relu_() : torch::relu(x[0]); };
      return add(std::move(node), "relu");
    }
    const auto norm =
        graph_->module.register_module("norm" + std::to_string(graph_->nodes.size()), nn::BatchNorm2d(channels));
    node.run = [norm](const Tensors& x) mutable { return norm->forward(x[0]); };
    return add(std::move(node), "batch_norm");
  }

  void convolve(size_t from) {
    const int64_t in = sizes(from)[1];
    const int64_t smallest = std::min(sizes(from)[2], sizes(from)[3]);
    if (smallest <= 5 && chance(20)) {
      deconvolve(from);
      return;
    }
    const int64_t kernel = pick(1, std::min<int64_t>(3, smallest));
    const int64_t groups = in % 2 == 0 && chance(20) ? 2 : 1;
    auto options = nn::Conv2dOptions(in, 2 * pick(1, 3), kernel).groups(groups).bias(chance(70));
    const bool same = chance(60);
    options.padding(same && kernel % 2 == 1 ? kernel / 2 : pick(0, 1)).stride(!same && smallest > 4 ? pick(1, 2) : 1);
    const int64_t dilation = kernel == 2 && smallest > 4 && chance(30) ? 2 : 1;
    options.dilation(dilation);
    const bool mirrored = kernel == 3 && smallest > 3 && chance(15);
    if (mirrored) {
      options.padding(1).stride(1).padding_mode(torch::kReflect);
    }
    const std::string name = "conv" + std::to_string(graph_->nodes.size());
    const auto conv = graph_->module.register_module(name, nn::Conv2d(options));
    GraphNode node;
    node.kind = Kind::kWeight;
    node.arguments = {from};
    node.name = name;
    node.bias = conv->bias;
    node.run = [conv](const Tensors& x) mutable { return conv->forward(x[0]); };
    const at::Tensor weight = conv->weight;
    const std::vector<int64_t> stride = {options.stride()->at(0), options.stride()->at(1)};
    const int64_t padding = std::get<torch::ExpandingArray<2>>(options.padding())->at(0);
    node.map = [weight, stride, padding, dilation, groups, mirrored](const at::Tensor& x) {
      const at::Tensor w = weight.detach().to(at::kDouble);
      const at::Tensor cells = mirrored ? at::reflection_pad2d(x, {1, 1, 1, 1}) : x;
      const std::vector<int64_t> around(2, mirrored ? 0 : padding), apart(2, dilation);
      return at::conv2d(cells, w, at::Tensor(), stride, around, apart, groups);
    };
    transparent(add(std::move(node),
                    "conv k" + std::to_string(kernel) + " g" + std::to_string(groups) + (mirrored ? " reflect" : "")));
  }

  void deconvolve(size_t from) {
    const int64_t in = sizes(from)[1];
    const int64_t kernel = pick(2, 3), stride = pick(1, 2), padding = pick(0, kernel - 2);
    const int64_t groups = in % 2 == 0 && chance(30) ? 2 : 1;
    const std::string name = "up" + std::to_string(graph_->nodes.size());
    const auto up =
        graph_->module.register_module(name, nn::ConvTranspose2d(nn::ConvTranspose2dOptions(in, 2 * pick(1, 3), kernel)
                                                                     .stride(stride)
                                                                     .padding(padding)
                                                                     .output_padding(stride - 1)
                                                                     .groups(groups)
                                                                     .bias(chance(70))));
    GraphNode node;
    node.kind = Kind::kWeight;
    node.arguments = {from};
    node.name = name;
    node.bias = up->bias;
    node.run = [up](const Tensors& x) mutable { return up->forward(x[0]); };
    const at::Tensor weight = up->weight;
    node.map = [weight, stride, padding, groups](const at::Tensor& x) {
      const std::vector<int64_t> steps(2, stride), around(2, padding), extra(2, stride - 1), ones(2, 1);
      return at::conv_transpose2d(x, weight.detach().to(at::kDouble), at::Tensor(), steps, around, extra, groups, ones);
    };
    transparent(add(std::move(node),
                    "up k" + std::to_string(kernel) + " s" + std::to_string(stride) + " g" + std::to_string(groups)));
  }

  void resample(size_t from) {
    const int64_t smallest = std::min(sizes(from)[2], sizes(from)[3]);
    GraphNode node;
    node.kind = Kind::kResampling;
    node.arguments = {from};
    // Of a sum that no convolution stands beside, the mean is that of no unit positions: it would be transparent.
    const std::set<size_t> from_what = sources(from);
    const bool positions = std::all_of(from_what.begin(), from_what.end(),
                                       [this](size_t source) { return graph_->nodes[source].kind == Kind::kWeight; });
    if (smallest >= 2 && positions && chance(15)) {
      node.name = "mean";
      node.map = [](const at::Tensor& x) { return x.mean({2, 3}, true); };
      node.run = [map = node.map](const Tensors& x) { return map(x[0]); };
    } else if (smallest >= 4 && chance(60)) {
      const bool most = chance(50);
      node.name = "window of 2";
      node.map = [](const at::Tensor& x) { return at::avg_pool2d(x, 2); };
      node.run = [most](const Tensors& x) { return most ? at::max_pool2d(x[0], 2) : at::avg_pool2d(x[0], 2); };
    } else if (smallest >= 4 && chance(50)) {
      node.name = "window of 3, stride 2, padding 1";
      node.map = [](const at::Tensor& x) { return at::avg_pool2d(x, 3, 2, 1, false, false); };
      node.run = [](const Tensors& x) { return at::max_pool2d(x[0], 3, 2, 1); };
    } else if (smallest <= 5) {
      const bool smooth = chance(50);
      node.name = smooth ? "bilinear" : "nearest";
      node.map = [smooth](const at::Tensor& x) {
        return smooth ? at::upsample_bilinear2d(x, {2 * x.size(2), 2 * x.size(3)}, false)
                      : at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
      };
      node.run = [map = node.map](const Tensors& x) { return map(x[0]); };
    } else {
      node.name = "adaptive 3";
      node.map = [](const at::Tensor& x) { return at::adaptive_avg_pool2d(x, {3, 3}); };
      node.run = [map = node.map](const Tensors& x) { return map(x[0]); };
    }
    const std::string name = node.name;
    transparent(add(std::move(node), name));
  }

  /// Others of the same map size; or of the same channels too, where a map of one cell will do.
  std::vector<size_t> partners(size_t of, bool channels) const {
    std::vector<size_t> result;
    for (size_t i = 1; i < graph_->nodes.size(); ++i) {
      const auto& own = sizes(i);
      const bool same = own[2] == sizes(of)[2] && own[3] == sizes(of)[3];
      const bool broadcast = channels && own[2] == 1 && own[3] == 1;
      const bool fits = (same || broadcast) && (!channels || own[1] == sizes(of)[1]);
      std::vector<size_t> common;
      const std::set<size_t> mine = sources(i), other = sources(of);
      std::set_intersection(mine.begin(), mine.end(), other.begin(), other.end(), std::back_inserter(common));
      if (fits && common.empty()) {
        result.push_back(i);
      }
    }
    return result;
  }

  /// What a value's units come from: two spellings of one node layer are no sum, and a copy of it is no join.
  std::set<size_t> sources(size_t node) const {
    const GraphNode& own = graph_->nodes[node];
    if (own.kind == Kind::kInput || own.kind == Kind::kWeight || own.kind == Kind::kSum) {
      return {node};
    }
    std::set<size_t> result;
    for (const size_t argument : own.arguments) {
      const std::set<size_t> further = sources(argument);
      result.insert(further.begin(), further.end());
    }
    return result;
  }

  void combine(size_t from) {
    const std::vector<size_t> others = partners(from, true);
    if (others.empty()) {
      convolve(from);
      return;
    }
    GraphNode node;
    node.kind = Kind::kSum;
    node.arguments = {from, others[static_cast<size_t>(pick(0, static_cast<int64_t>(others.size()) - 1))]};
    const int64_t how = pick(0, 3);
    node.name = how == 3 ? "mul" : "add";
    node.run = [how](const Tensors& x) {
      return how == 0 ? x[0] + x[1] : how == 1 ? x[0] - x[1] : how == 2 ? x[0].clone().add_(x[1]) : x[0] * x[1];
    };
    const bool broadcast = sizes(node.arguments[0]) != sizes(node.arguments[1]);
    const std::string name = node.name;
    const size_t sum = add(std::move(node), name);
    transparent(sum);
    if (broadcast) {
      convolve(sum);  // tells positions apart: without, a copy in each of them is one link to a channel
    }
  }

  void join(size_t from) {
    const std::vector<size_t> others = partners(from, false);
    if (others.empty()) {
      convolve(from);
      return;
    }
    GraphNode node;
    node.kind = Kind::kCat;
    node.arguments = {from, others[static_cast<size_t>(pick(0, static_cast<int64_t>(others.size()) - 1))]};
    node.run = [](const Tensors& x) { return at::cat(x, 1); };
    transparent(add(std::move(node), "cat"));
  }

  void take(size_t from) {
    const int64_t channels = sizes(from)[1];
    if (channels < 2) {
      convolve(from);
      return;
    }
    GraphNode node;
    node.kind = Kind::kSlice;
    node.arguments = {from};
    node.first = pick(0, channels / 2);
    node.count = pick(1, channels - std::max<int64_t>(1, node.first));
    node.run = [first = node.first, count = node.count](const Tensors& x) { return x[0].narrow(1, first, count); };
    add(std::move(node), "slice");
  }

  void step() {
    const size_t from = any();
    const int64_t kind = pick(1, 100);
    if (kind <= 35) {
      convolve(from);
    } else if (kind <= 50) {
      resample(from);
    } else if (kind <= 75) {
      combine(from);
    } else if (kind <= 90) {
      join(from);
    } else {
      take(from);
    }
  }

  void finish() {
    GraphNode output;
    output.kind = Kind::kOutput;
    if (chance(50)) {
      const auto last = static_cast<size_t>(newest());
      const int64_t features = sizes(last)[1] * sizes(last)[2] * sizes(last)[3];
      const auto fc = graph_->module.register_module("fc", nn::Linear(features, 3));
      GraphNode head;
      head.kind = Kind::kWeight;
      head.name = "fc";
      head.arguments = {last};
      head.bias = fc->bias;
      head.run = [fc](const Tensors& x) mutable { return fc->forward(x[0].flatten(1)); };
      const at::Tensor weight = fc->weight;
      head.map = [weight](const at::Tensor& x) { return at::linear(x.flatten(1), weight.detach().to(at::kDouble)); };
      add(std::move(head), "linear");
    }
    output.arguments = {static_cast<size_t>(newest())};
    output.run = [](const Tensors& x) { return x[0]; };
    add(std::move(output), "output");
  }

  std::mt19937_64 random_;
  std::shared_ptr<Graph> graph_;
};

}  // namespace

std::shared_ptr<Graph> random_graph(uint64_t seed) { return Generator(seed).run(); }

}  // namespace oracle
