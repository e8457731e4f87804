// SPDX-License-Identifier: BSD-3-Clause
#include "chain.hpp"
#include "devices.hpp"
#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace oracle {
namespace {

/// Everything that is measured, as one list of tensors.
std::vector<at::Tensor> measured(const dynascope::Network& network, const dynascope::MetricOptions& options = {}) {
  std::vector<at::Tensor> all = dynascope::node_strength(network, options);
  const auto links = dynascope::link_weights(network, options);
  all.insert(all.end(), {dynascope::layer_fluctuation(network, options), links.count, links.mean, links.std, links.min,
                         links.max, links.abs_mean, links.norm, links.nonfinite});
  return all;
}

void expect_same_bits(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(at::equal(got[i].cpu(), expected[i].cpu())) << i << ": " << got[i] << "\nexpected " << expected[i];
  }
}

class Storage : public OnDevice {};

TEST_P(Storage, EveryFloatingTypeHasTheStrengthsOfItsOwnValues) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    for (uint64_t seed = 3000; seed < 3012; ++seed) {
      Chain chain = random_chain(seed);
      chain.model->to(device(), dtype);
      SCOPED_TRACE(chain.text + " as " + c10::toString(dtype));
      const auto network = trace(chain);
      ASSERT_EQ(network.node_layers.size(), chain.steps.size() + 1) << network;
      for (const auto& options : {dynascope::MetricOptions(), dynascope::MetricOptions::paper(),
                                  dynascope::MetricOptions().granularity(dynascope::Granularity::kChannel)}) {
        expect_strengths(chain, network, options);
      }
    }
  }
}

/// The same values in other places and orders of memory.
const std::vector<std::pair<std::string, std::function<at::Tensor(const at::Tensor&)>>> kLayouts = {
    {"transposed",
     [](const at::Tensor& w) { return w.dim() < 2 ? w : w.transpose(0, 1).contiguous().transpose(0, 1); }},
    {"reversed axes",
     [](const at::Tensor& w) {
       std::vector<int64_t> order;
       for (int64_t d = w.dim(); d-- > 0;) {
         order.push_back(d);
       }
       return w.permute(order).contiguous().permute(order);
     }},
    {"channels last",
     [](const at::Tensor& w) {
       return w.dim() == 4   ? w.contiguous(at::MemoryFormat::ChannelsLast)
              : w.dim() == 5 ? w.contiguous(at::MemoryFormat::ChannelsLast3d)
                             : w;
     }},
    {"every third element",
     [](const at::Tensor& w) {
       return at::stack({w, w + 1, w - 1}, w.dim()).select(w.dim(), 0);
     }},
    {"odd offset into one buffer",
     [](const at::Tensor& w) {
       return at::cat({at::ones({3}, w.options()), w.flatten()}).narrow(0, 3, w.numel()).view(w.sizes());
     }},
    {"padded rows",
     [](const at::Tensor& w) {
       at::Tensor wide = at::full({w.size(0), w.numel() / w.size(0) + 5}, 9, w.options());
       at::Tensor view = wide.as_strided(w.sizes(), [&] {
         std::vector<int64_t> strides = w.contiguous().strides().vec();
         strides[0] = wide.stride(0);
         return strides;
       }());
       return view.copy_(w);
     }},
};

TEST_P(Storage, OrderInMemoryDoesNotChangeABit) {
  for (uint64_t seed = 3100; seed < 3120; ++seed) {
    Chain chain = random_chain(seed);
    chain.model->to(device());
    SCOPED_TRACE(chain.text);
    const auto expected = measured(trace(chain));
    std::vector<at::Tensor> originals;
    for (const auto& parameter : chain.model->parameters()) {
      originals.push_back(parameter.detach().clone());
    }
    for (const auto& [name, layout] : kLayouts) {
      SCOPED_TRACE(name);
      auto parameters = chain.model->parameters();
      for (size_t i = 0; i < parameters.size(); ++i) {
        const at::Tensor stored = layout(originals[i]);
        ASSERT_TRUE(at::equal(stored, originals[i]));
        parameters[i].set_data(stored);
      }
      expect_same_bits(measured(trace(chain)), expected);
    }
    if (HasFailure()) {
      return;
    }
  }
}

TEST_P(Storage, ParametersAreReadAsTheyAreNow) {
  Chain chain = random_chain(3200);
  chain.model->to(device());
  SCOPED_TRACE(chain.text);
  const auto network = trace(chain);
  const auto before = measured(network);
  for (auto& parameter : chain.model->parameters()) {
    parameter.detach().mul_(-3).add_(0.25);
  }
  expect_strengths(chain, network, {});
  EXPECT_FALSE(at::equal(measured(network)[0], before[0]));
}

TEST_P(Storage, FrozenParametersCountLikeOthers) {
  Chain chain = random_chain(3201);
  chain.model->to(device());
  SCOPED_TRACE(chain.text);
  const auto expected = measured(trace(chain));
  for (auto& parameter : chain.model->parameters()) {
    parameter.requires_grad_(false);
  }
  expect_same_bits(measured(trace(chain)), expected);
}

TEST_P(Storage, TracingAndMeasuringLeaveNoFootprint) {
  Chain chain = random_chain(3203);
  chain.model->push_back(torch::nn::Dropout(0.5));
  chain.model->to(device());
  chain.model->train();
  std::vector<at::Tensor> before;
  for (const auto& tensor : chain.model->parameters()) {
    before.push_back(tensor.detach().clone());
  }
  for (const auto& tensor : chain.model->buffers()) {
    before.push_back(tensor.clone());
  }
  const at::Tensor x = chain.example();
  torch::manual_seed(5);
  const at::Tensor random = torch::rand({4});
  torch::manual_seed(5);
  const auto network = dynascope::trace(chain.model, [&] { return chain.model->forward(x); });
  measured(network);
  EXPECT_TRUE(at::equal(torch::rand({4}), random));
  size_t i = 0;
  for (const auto& tensor : chain.model->parameters()) {
    EXPECT_TRUE(at::equal(tensor, before[i++]));
    EXPECT_FALSE(tensor.grad().defined());
  }
  for (const auto& tensor : chain.model->buffers()) {
    EXPECT_TRUE(at::equal(tensor, before[i++]));
  }
  EXPECT_TRUE(chain.model->is_training());
  EXPECT_TRUE(torch::GradMode::is_enabled());
}

ORACLE_ON_EVERY_DEVICE(Storage);

}  // namespace
}  // namespace oracle
