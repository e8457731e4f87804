// SPDX-License-Identifier: BSD-3-Clause
#include "expect.hpp"

#include "oracle.hpp"

#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <numeric>
#include <sstream>

namespace oracle {
namespace {

/// How many units each stored value stands for, counted.
std::vector<int64_t> counted_multiplicity(const dynascope::NodeLayerInfo& info) {
  std::vector<int64_t> positions(static_cast<size_t>(info.stored_units()));
  std::iota(positions.begin(), positions.end(), 0);
  const at::Tensor owner = expand(info, at::tensor(positions)).flatten().to(at::kLong);
  const at::Tensor counts = at::bincount(owner, {}, info.stored_units());
  return {counts.data_ptr<int64_t>(), counts.data_ptr<int64_t>() + counts.numel()};
}

void expect_layers(const Graph& graph, const dynascope::Network& network) {
  const std::vector<ExpectedLayer> expected = expected_layers(graph);
  const auto strengths = dynascope::node_strength(network);
  const auto info = dynascope::node_layer_info(network);
  EXPECT_TRUE(network.skipped.empty());
  EXPECT_EQ(info.size(), expected.size());
  for (const ExpectedLayer& layer : expected) {
    SCOPED_TRACE(layer.name);
    const auto found = std::find_if(info.begin(), info.end(), [&](const auto& i) { return i.name == layer.name; });
    if (found == info.end()) {
      ADD_FAILURE() << "is no node layer";
      continue;
    }
    const at::Tensor units = expand(*found, strengths[static_cast<size_t>(found - info.begin())]);
    const at::Tensor full = spread(units, layer.strength);
    ASSERT_TRUE(full.defined()) << units.sizes() << " for " << layer.strength.sizes();
    expect_close(full, layer.strength.flatten());
  }
}

}  // namespace

dynascope::Network trace(Chain& chain) {
  const at::Tensor x = chain.example();
  return dynascope::trace(chain.model, [&] { return chain.model->forward(x); });
}

dynascope::Network build(const Chain& chain) {
  dynascope::NetworkBuilder builder;
  auto value = builder.input("input", {chain.input_shape.begin() + 1, chain.input_shape.end()});
  for (const auto& call : chain.calls) {
    value = call(builder, value);
  }
  builder.output(value);
  return builder.build();
}

std::vector<std::string> node_names(const dynascope::Network& network) {
  std::vector<std::string> result;
  for (const auto& layer : network.node_layers) {
    result.push_back(layer.name);
  }
  return result;
}

std::vector<std::string> weight_names(const dynascope::Network& network) {
  std::vector<std::string> result;
  for (const auto& layer : network.weight_layers) {
    result.push_back(layer.name);
  }
  return result;
}

size_t node_layer(const dynascope::Network& network, const std::string& name) {
  for (size_t i = 0; i < network.node_layers.size(); ++i) {
    if (network.node_layers[i].name == name) {
      return i;
    }
  }
  ADD_FAILURE() << "no node layer '" << name << "' in\n" << network;
  return 0;
}

at::Tensor units_of(const dynascope::Network& network, const std::string& name,
                    const dynascope::MetricOptions& options) {
  const size_t i = node_layer(network, name);
  if (i >= network.node_layers.size()) {
    return at::zeros({0}, at::kDouble);
  }
  return expand(dynascope::node_layer_info(network, options)[i], dynascope::node_strength(network, options)[i])
      .flatten();
}

void expect_strengths(const Chain& chain, const dynascope::Network& network, const dynascope::MetricOptions& options) {
  SCOPED_TRACE(text(options));
  const auto expected = total(strengths(chain, options));
  const auto magnitude = total(strengths(chain, options, magnitudes()));
  const auto stored = dynascope::node_strength(network, options);
  const auto infos = dynascope::node_layer_info(network, options);
  ASSERT_EQ(stored.size(), expected.size());
  ASSERT_EQ(infos.size(), expected.size());
  const at::Tensor fluctuation = dynascope::layer_fluctuation(network, options).cpu();
  ASSERT_EQ(fluctuation.dtype(), at::kDouble);
  ASSERT_EQ(fluctuation.numel(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(infos[i].name);
    ASSERT_EQ(stored[i].dtype(), at::kFloat);
    ASSERT_EQ(stored[i].numel(), infos[i].stored_units());
    EXPECT_EQ(infos[i].multiplicity, counted_multiplicity(infos[i]));
    const at::Tensor got = spread(expand(infos[i], stored[i]), expected[i]);
    ASSERT_TRUE(got.defined()) << "units " << at::IntArrayRef(infos[i].shape) << ", expected " << expected[i].sizes();
    const at::Tensor bound = 1e-6 * (1 + magnitude[i].flatten());
    const at::Tensor excess = (got - expected[i].flatten()).abs() / bound;
    EXPECT_LE(excess.max().item<double>(), 1) << "got " << got << "\nexpected " << expected[i].flatten();

    // Strengths that are off by at most e each change their standard deviation by at most the root mean square of e.
    const double rounding = 2.4e-7 * magnitude[i].square().mean().sqrt().item<double>() + 1e-12;
    EXPECT_NEAR(fluctuation[static_cast<int64_t>(i)].item<double>(), expected[i].std(false).item<double>(), rounding);
  }
}

void expect_graph(const Graph& graph, const std::string& what) {
  const dynascope::Network network = graph.trace();
  std::ostringstream text;
  text << what << "\n" << graph.text << network;
  SCOPED_TRACE(text.str());
  expect_layers(graph, network);
}

void expect_close(const at::Tensor& got, const at::Tensor& expected) {
  const at::Tensor wanted = expected.detach().cpu().to(at::kDouble).flatten();
  ASSERT_EQ(got.sizes(), wanted.sizes());
  const at::Tensor excess = (got - wanted).abs() / (1e-6 * (1 + wanted.abs()));
  EXPECT_LE(excess.max().item<double>(), 1) << "got " << got << "\nexpected " << wanted;
}

}  // namespace oracle
