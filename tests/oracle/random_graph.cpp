// SPDX-License-Identifier: BSD-3-Clause
#include "drawing.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <set>

namespace oracle {
namespace {

namespace nn = torch::nn;
using Kind = GraphNode::Kind;

class Generator {
 public:
  explicit Generator(uint64_t seed)
      : random_((torch::manual_seed(seed), seed)), drawing_({1, pick(1, 3), pick(5, 9), pick(5, 9)}) {}

  std::shared_ptr<Graph> run() {
    convolve(0);
    for (int64_t steps = pick(3, 9); steps > 0; --steps) {
      step();
    }
    const auto last = static_cast<size_t>(newest());
    return drawing_.finish(chance(50) ? drawing_.linear("fc", last, 3) : last);
  }

 private:
  int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  bool chance(int64_t percent) { return pick(1, 100) <= percent; }
  const std::vector<int64_t>& sizes(size_t node) const { return drawing_.sizes(node); }
  int64_t smallest_side(size_t node) const { return std::min(sizes(node)[2], sizes(node)[3]); }
  int64_t newest() const { return static_cast<int64_t>(drawing_.nodes().size()) - 1; }
  size_t any() { return static_cast<size_t>(pick(std::max<int64_t>(1, newest() - 4), newest())); }
  std::string numbered(const std::string& name) const { return name + std::to_string(newest() + 1); }

  void transparent(size_t from) {
    if (chance(60)) {
      chance(50) ? drawing_.relu(from, chance(30)) : drawing_.norm(from);
    }
  }

  void convolve(size_t from) {
    const int64_t in = sizes(from)[1], smallest = smallest_side(from);
    if (smallest <= 5 && chance(20)) {
      deconvolve(from);
      return;
    }
    const int64_t kernel = pick(1, std::min<int64_t>(3, smallest));
    auto options = nn::Conv2dOptions(in, 2 * pick(1, 3), kernel).groups(in % 2 == 0 && chance(20) ? 2 : 1);
    options.bias(chance(70)).dilation(kernel == 2 && smallest > 4 && chance(30) ? 2 : 1);
    const bool same = chance(60);
    options.padding(same && kernel % 2 == 1 ? kernel / 2 : pick(0, 1)).stride(!same && smallest > 4 ? pick(1, 2) : 1);
    const bool mirrored = kernel == 3 && smallest > 3 && chance(15);
    if (mirrored) {
      options.padding(1).stride(1).padding_mode(torch::kReflect);
    }
    transparent(drawing_.convolution(numbered("conv"), from, options, mirrored));
  }

  void deconvolve(size_t from) {
    const int64_t in = sizes(from)[1], kernel = pick(2, 3), stride = pick(1, 2);
    auto options = nn::ConvTranspose2dOptions(in, 2 * pick(1, 3), kernel).stride(stride).output_padding(stride - 1);
    options.padding(pick(0, kernel - 2)).groups(in % 2 == 0 && chance(30) ? 2 : 1).bias(chance(70));
    transparent(drawing_.transposed(numbered("up"), from, options));
  }

  void resample(size_t from) {
    const int64_t smallest = smallest_side(from);
    // Of a sum that no convolution stands beside, the mean is that of no unit positions: it would be transparent.
    const std::set<size_t> origins = sources(from);
    const bool positions = std::all_of(origins.begin(), origins.end(), [this](size_t source) {
      return drawing_.nodes()[source].kind == Kind::kWeight;
    });
    if (smallest >= 2 && positions && chance(15)) {
      transparent(drawing_.mean(from));
    } else if (smallest >= 4 && chance(60)) {
      transparent(drawing_.window(from, chance(50)));
    } else if (smallest >= 4 && chance(50)) {
      transparent(drawing_.resampling(
          "max of 3, stride 2, padding 1", from,
          [](const at::Tensor& x) { return at::avg_pool2d(x, 3, 2, 1, false, false); },
          [](const at::Tensor& x) { return at::max_pool2d(x, 3, 2, 1); }));
    } else if (smallest <= 5) {
      const bool smooth = chance(50);
      transparent(drawing_.resampling(smooth ? "bilinear" : "nearest", from, [smooth](const at::Tensor& x) {
        return smooth ? at::upsample_bilinear2d(x, {2 * x.size(2), 2 * x.size(3)}, false)
                      : at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
      }));
    } else {
      transparent(drawing_.resampling("adaptive 3", from, [](const at::Tensor& x) {
        return at::adaptive_avg_pool2d(x, {3, 3});
      }));
    }
  }

  /// Others of the same map size; or of the same channels too, where a map of one cell will do.
  std::vector<size_t> partners(size_t of, bool channels) const {
    std::vector<size_t> result;
    for (size_t i = 1; i < drawing_.nodes().size(); ++i) {
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
    const GraphNode& own = drawing_.nodes()[node];
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

  size_t one_of(const std::vector<size_t>& nodes) {
    return nodes[static_cast<size_t>(pick(0, static_cast<int64_t>(nodes.size()) - 1))];
  }

  void combine(size_t from) {
    const std::vector<size_t> others = partners(from, true);
    if (others.empty()) {
      convolve(from);
      return;
    }
    const size_t other = one_of(others);
    const size_t sum = drawing_.sum(from, other, static_cast<Drawing::Sum>(pick(0, 3)));
    transparent(sum);
    if (sizes(from) != sizes(other)) {
      convolve(sum);  // tells positions apart: without, a copy in each of them is one link to a channel
    }
  }

  void join(size_t from) {
    const std::vector<size_t> others = partners(from, false);
    if (others.empty()) {
      convolve(from);
      return;
    }
    transparent(drawing_.cat({from, one_of(others)}));
  }

  void take(size_t from) {
    const int64_t channels = sizes(from)[1];
    if (channels < 2) {
      convolve(from);
      return;
    }
    const int64_t first = pick(0, channels / 2);
    drawing_.slice(from, first, pick(1, channels - std::max<int64_t>(1, first)));
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

  std::mt19937_64 random_;
  Drawing drawing_;
};

}  // namespace

std::shared_ptr<Graph> random_graph(uint64_t seed) { return Generator(seed).run(); }

}  // namespace oracle
