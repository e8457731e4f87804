// SPDX-License-Identifier: BSD-3-Clause
// Known families drawn small, then random networks with branches, sums, joins, slices and resampling: all node layers
// must be placed, with the strengths of their definition.
#include "drawing.hpp"
#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace oracle {
namespace {

namespace nn = torch::nn;

/// DYNASCOPE_GRAPHS sets how many networks are tried, DYNASCOPE_GRAPH_SEED the seed of the first.
uint64_t number(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

nn::Conv2dOptions kernel(int64_t in, int64_t out, int64_t size, int64_t stride = 1, int64_t groups = 1) {
  return nn::Conv2dOptions(in, out, size).stride(stride).padding(size / 2).groups(groups);
}

std::shared_ptr<Graph> residual() {
  Drawing draw({1, 3, 9, 8});
  size_t x = draw.relu(draw.norm(draw.convolution("stem", 0, kernel(3, 4, 3, 2).bias(false))));
  const auto block = [&](const std::string& name, int64_t in, int64_t out, int64_t stride) {
    const size_t first = draw.relu(draw.norm(draw.convolution(name + "a", x, kernel(in, out, 3, stride))));
    const size_t second = draw.norm(draw.convolution(name + "b", first, kernel(out, out, 3)));
    const size_t skip = in == out ? x : draw.norm(draw.convolution(name + "s", x, kernel(in, out, 1, stride)));
    x = draw.relu(draw.sum(second, skip, Drawing::Sum::kInPlace), true);
  };
  block("one", 4, 4, 1);
  block("two", 4, 4, 1);
  block("three", 4, 6, 2);
  block("four", 6, 6, 1);
  return draw.finish(draw.linear("fc", draw.mean(x), 3));
}

std::shared_ptr<Graph> dense() {
  Drawing draw({1, 1, 8, 8});
  size_t x = draw.convolution("stem", 0, kernel(1, 4, 3));
  for (int64_t i = 0; i < 3; ++i) {
    const std::string name = "layer" + std::to_string(i);
    const size_t narrow = draw.convolution(name + "a", draw.relu(draw.norm(x)), kernel(4 + 2 * i, 4, 1));
    x = draw.cat({x, draw.convolution(name + "b", draw.relu(draw.norm(narrow)), kernel(4, 2, 3))});
  }
  x = draw.window(draw.convolution("transition", draw.relu(draw.norm(x)), kernel(10, 5, 1)), false);
  return draw.finish(draw.linear("fc", x, 3));
}

std::shared_ptr<Graph> inception() {
  Drawing draw({1, 3, 7, 7});
  const size_t x = draw.relu(draw.convolution("stem", 0, kernel(3, 6, 3)));
  const size_t a = draw.convolution("a", x, kernel(6, 2, 1));
  const size_t b = draw.convolution("b2", draw.relu(draw.convolution("b1", x, kernel(6, 3, 1))), kernel(3, 4, 3));
  const size_t c = draw.convolution("c2", draw.relu(draw.convolution("c1", x, kernel(6, 2, 1))), kernel(2, 3, 5));
  const size_t pooled = draw.resampling(
      "max of 3", x, [](const at::Tensor& t) { return at::avg_pool2d(t, 3, 1, 1, false, false); },
      [](const at::Tensor& t) { return at::max_pool2d(t, 3, 1, 1); });
  const size_t d = draw.convolution("d", pooled, kernel(6, 2, 1));
  return draw.finish(draw.linear("fc", draw.mean(draw.relu(draw.cat({a, b, c, d}))), 4));
}

std::shared_ptr<Graph> u_net() {
  Drawing draw({1, 1, 8, 12});
  const auto twice = [&](const std::string& name, size_t x, int64_t in, int64_t out) {
    const size_t first = draw.relu(draw.convolution(name + "a", x, kernel(in, out, 3)));
    return draw.relu(draw.convolution(name + "b", first, kernel(out, out, 3)));
  };
  const size_t top = twice("down0", 0, 1, 2);
  const size_t middle = twice("down1", draw.window(top, true), 2, 4);
  size_t x = twice("down2", draw.window(middle, true), 4, 6);
  x = draw.transposed("up1", x, nn::ConvTranspose2dOptions(6, 4, 2).stride(2));
  x = twice("right1", draw.cat({middle, x}), 8, 4);
  x = draw.transposed("up0", x, nn::ConvTranspose2dOptions(4, 2, 2).stride(2));
  return draw.finish(draw.convolution("head", twice("right0", draw.cat({top, x}), 4, 2), kernel(2, 2, 1)));
}

std::shared_ptr<Graph> inverted_residual() {
  Drawing draw({1, 2, 6, 6});
  const size_t x = draw.norm(draw.convolution("stem", 0, kernel(2, 4, 3)));
  const size_t wide = draw.relu(draw.norm(draw.convolution("expand", x, kernel(4, 8, 1).bias(false))));
  const size_t depthwise = draw.relu(draw.norm(draw.convolution("depthwise", wide, kernel(8, 8, 3, 1, 8).bias(false))));
  const size_t narrow = draw.norm(draw.convolution("project", depthwise, kernel(8, 4, 1).bias(false)));
  return draw.finish(draw.convolution("head", draw.sum(x, narrow), kernel(4, 3, 1)));
}

std::shared_ptr<Graph> squeeze_and_excitation() {
  Drawing draw({1, 2, 5, 6});
  const size_t x = draw.relu(draw.convolution("stem", 0, kernel(2, 6, 3)));
  const size_t squeezed = draw.relu(draw.convolution("squeeze", draw.mean(x), kernel(6, 2, 1)));
  const size_t gated = draw.sum(x, draw.convolution("excite", squeezed, kernel(2, 6, 1)), Drawing::Sum::kTimes);
  const size_t left = draw.slice(gated, 0, 3), right = draw.slice(gated, 3, 3);
  const size_t joined = draw.cat({draw.convolution("left", left, kernel(3, 3, 3)), right});
  return draw.finish(draw.convolution("head", joined, kernel(6, 2, 3, 2)));
}

std::shared_ptr<Graph> grouped_outputs_that_end_apart() {
  Drawing draw({1, 4, 5, 5});
  const size_t stem = draw.convolution("stem", 0, kernel(4, 4, 3));
  const size_t grouped = draw.convolution("grouped", draw.relu(stem), kernel(4, 8, 3, 1, 2));
  const size_t whole = draw.convolution("whole", draw.slice(grouped, 0, 4), kernel(4, 2, 1));
  const size_t pieces = draw.convolution("pieces", draw.slice(grouped, 4, 3), kernel(3, 2, 1));
  const size_t up = draw.transposed("up", draw.cat({whole, pieces}), nn::ConvTranspose2dOptions(4, 6, 2).groups(2));
  return draw.finish(draw.cat({draw.convolution("first", draw.slice(up, 0, 2), kernel(2, 1, 1)),
                               draw.convolution("second", draw.slice(up, 2, 4), kernel(4, 1, 1))}));
}

TEST(Family, EveryNodeLayerHasTheStrengthsOfItsDefinition) {
  const std::vector<std::pair<std::string, std::shared_ptr<Graph> (*)()>> families = {
      {"residual", residual},
      {"densely connected", dense},
      {"inception", inception},
      {"U-Net", u_net},
      {"inverted residual", inverted_residual},
      {"squeeze and excitation, split", squeeze_and_excitation},
      {"grouped outputs that end apart", grouped_outputs_that_end_apart}};
  torch::manual_seed(7);
  for (const auto& [name, draw] : families) {
    expect_graph(*draw(), name);
  }
}

TEST(RandomGraph, EveryNodeLayerHasTheStrengthsOfItsDefinition) {
  const uint64_t first = number("DYNASCOPE_GRAPH_SEED", 20000), count = number("DYNASCOPE_GRAPHS", 500);
  std::cout << "seeds " << first << " to " << first + count - 1 << "\n";
  for (uint64_t seed = first; seed < first + count; ++seed) {
    expect_graph(*random_graph(seed), "seed " + std::to_string(seed));
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace oracle
