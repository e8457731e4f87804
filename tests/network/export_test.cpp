// SPDX-License-Identifier: BSD-3-Clause
// A Network as text: for people, for Graphviz, as JSON.
#include "network_test.hpp"

#include <dynascope/network.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include <sstream>
#include <string>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

/// A skip over a convolution, and an operator that nobody follows behind the head.
Network residual() {
  struct Net : nn::Module {
    nn::Conv2d stem{nn::Conv2dOptions(1, 2, 3).padding(1)};
    nn::Conv2d conv{nn::Conv2dOptions(2, 2, 3).padding(1).bias(false)};
    nn::Linear head{2 * 2 * 2, 3};
    nn::Linear idle{2, 2};
    Net() {
      register_module("stem", stem);
      register_module("conv", conv);
      register_module("head", head);
      register_module("idle", idle);
    }
  } net;
  return trace(net, [&] {
    const Tensor h = net.stem->forward(torch::randn({1, 1, 4, 4})).relu();
    const Tensor y = torch::max_pool2d((net.conv->forward(h) + h).relu(), 2);
    return std::vector<Tensor>{net.head->forward(y.flatten(1)), net.idle->weight};
  });
}

TEST(Export, PrintsOneLineForEach) {
  std::ostringstream text;
  text << residual();
  EXPECT_EQ(text.str(),
            "node layer    input [1, 4, 4] input\n"
            "node layer    stem [2, 4, 4]\n"
            "node layer    add0 [2, 2, 2]\n"
            "node layer    head [3] output\n"
            "weight layer  stem.weight [2, 1, 3, 3] conv2d with bias: input -> stem\n"
            "weight layer  conv.weight [2, 2, 3, 3] conv2d: stem -> add0 (4 to 2) (4 to 2)\n"
            "weight layer  head.weight [3, 8] linear with bias: add0 (units) -> head\n"
            "identity      stem -> add0 (4 to 2) (4 to 2)\n"
            "skipped       output1: a returned tensor is made of no activation\n"
            "skipped       idle.weight: no operator used it in the traced forward pass (on this thread)\n"
            "skipped       idle.bias: no operator used it in the traced forward pass (on this thread)\n"
            "placed        100 % of the weights\n");
}

TEST(Export, GraphvizHasANodePerNodeLayerAndAnArrowPerConnection) {
  EXPECT_EQ(to_dot(residual()),
            "digraph network {\n"
            "  node [shape=box];\n"
            "  0 [label=\"input\\n1 x 4 x 4\", style=bold];\n"
            "  1 [label=\"stem\\n2 x 4 x 4\"];\n"
            "  2 [label=\"add0\\n2 x 2 x 2\"];\n"
            "  3 [label=\"head\\n3\", style=bold];\n"
            "  0 -> 1 [label=\"stem.weight\"];\n"
            "  1 -> 2 [label=\"conv.weight\"];\n"
            "  2 -> 3 [label=\"head.weight\"];\n"
            "  1 -> 2 [style=dashed];\n"
            "}\n");
}

TEST(Export, GraphvizQuotesNames) {
  Network network;
  network.node_layers.push_back({"a \"b\" \\c", Role::kHidden, false, false, {2}});
  EXPECT_NE(to_dot(network).find("label=\"a \\\"b\\\" \\\\c\\n2\""), std::string::npos) << to_dot(network);
}

TEST(Export, JsonHasWhatTheNetworkHas) {
  const Network network = residual();
  const auto json = nlohmann::json::parse(to_json(network));
  ASSERT_EQ(json["node_layers"].size(), 4U);
  EXPECT_EQ(json["node_layers"][2], (nlohmann::json{{"name", "add0"}, {"role", "hidden"}, {"shape", {2, 2, 2}}}));
  ASSERT_EQ(json["weight_layers"].size(), 3U);
  EXPECT_EQ(json["weight_layers"][1], (nlohmann::json{{"name", "conv.weight"},
                                                      {"operator", "conv2d"},
                                                      {"shape", {2, 2, 3, 3}},
                                                      {"bias", false},
                                                      {"sources", {"stem"}},
                                                      {"targets", {"add0"}}}));
  EXPECT_EQ(json["identity_layers"],
            nlohmann::json::array({nlohmann::json{{"sources", {"stem"}}, {"targets", {"add0"}}}}));
  ASSERT_EQ(json["skipped"].size(), network.skipped.size());
  EXPECT_EQ(json["skipped"][1]["name"], "idle.weight");
}

TEST(Export, AnEmptyNetworkIsEmptyEverywhere) {
  const Network none;
  std::ostringstream text;
  text << none;
  EXPECT_EQ(text.str(), "");
  EXPECT_EQ(to_dot(none), "digraph network {\n  node [shape=box];\n}\n");
  EXPECT_EQ(nlohmann::json::parse(to_json(none))["weight_layers"], nlohmann::json::array());
  EXPECT_EQ(placed_share(none), 1.0);
}

}  // namespace
}  // namespace dynascope::test
