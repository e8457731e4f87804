// SPDX-License-Identifier: BSD-3-Clause

// A measurement in a CUDA graph, replayed ten thousand times without the host looking: every replay must leave the row
// of the weights that it met, and the counters between blocks as it found them.

#include "networks.hpp"
#include "support/backends.hpp"

#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace dynascope::test {
namespace {

using engine::Plan;
using engine::PlanOptions;

class Replayed : public OnBackend {};

INSTANTIATE_TEST_SUITE_P(Backends, Replayed, ::testing::Values(backends().back()), backend_name);

TEST_P(Replayed, TenThousandReplaysGiveTheRowsOfTheirWeights) {
  constexpr int64_t kReplays = 10000;
  const Network network = mixed_network(device(), at::kFloat, 12);
  const Plan plan(network, PlanOptions{});
  const auto backend = engine::make_backend(plan, 1);
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
  const auto negate = [&] {
    for (const WeightLayer& layer : network.weight_layers) {
      layer.weight.neg_();
    }
  };
  const at::Tensor of_weights = backend->measure_to_tensor(false).clone();
  negate();
  const at::Tensor of_negated = backend->measure_to_tensor(false).clone();
  ASSERT_FALSE(of_weights.equal(of_negated));
  negate();

  // Each replay turns the weights' signs, measures, and compares with the row that is due.
  at::Tensor due = of_negated.clone(), next = of_weights.clone();
  const at::Tensor replays = at::zeros({1}, at::TensorOptions(device()).dtype(at::kLong));
  const at::Tensor different = at::zeros_like(replays);
  at::cuda::CUDAGraph graph;
  graph.capture_begin();
  negate();
  const at::Tensor row = backend->measure_to_tensor(false);
  replays.add_(1);
  different.add_(row.ne(due).any().to(at::kLong));
  const at::Tensor kept = due.clone();
  due.copy_(next);
  next.copy_(kept);
  graph.capture_end();
  for (int64_t i = 0; i < kReplays; ++i) {
    graph.replay();
  }
  EXPECT_EQ(replays.item<int64_t>(), kReplays);
  EXPECT_EQ(different.item<int64_t>(), 0) << "replays with another row";
  EXPECT_TRUE(row.equal(of_weights));
}

}  // namespace
}  // namespace dynascope::test
