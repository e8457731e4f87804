// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How node layers of recurrence and attention are drawn by hand: sums of rows, columns and gates.

#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace oracle {

namespace nn = torch::nn;
using at::Tensor;
using Expected = std::vector<std::pair<std::string, Tensor>>;

inline Tensor as_double(const Tensor& x) { return x.detach().to(at::kDouble); }
inline Tensor rows(const Tensor& weight) { return as_double(weight).sum(1); }
inline Tensor columns(const Tensor& weight) { return as_double(weight).sum(0); }
/// In-strength of the units that a linear layer writes.
inline Tensor in(const nn::Linear& layer) { return rows(layer->weight) + as_double(layer->bias); }

inline void expect_network(const dynascope::Network& network, const Expected& expected) {
  std::ostringstream text;
  text << network;
  SCOPED_TRACE(text.str());
  EXPECT_TRUE(network.skipped.empty());
  EXPECT_EQ(network.node_layers.size(), expected.size());
  for (const auto& [name, strength] : expected) {
    SCOPED_TRACE(name);
    expect_close(units_of(network, name), strength);
  }
}

class Sequence : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(5000); }
  nn::Linear linear(const std::string& name, int64_t from, int64_t to) {
    return net.register_module(name, nn::Linear(from, to));
  }
  Tensor parameter(const std::string& name) { return as_double(net.named_parameters()[name]); }
  /// Rows, or a bias, of all gates added up.
  Tensor gates(const std::string& name, int64_t units) {
    const Tensor value = parameter(name);
    return (value.dim() == 2 ? value.sum(1) : value).view({-1, units}).sum(0);
  }
  nn::Module net;
};

}  // namespace oracle
