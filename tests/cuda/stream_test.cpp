// SPDX-License-Identifier: BSD-3-Clause

// What only a device can show: streams, events, capture, and that a steady measurement neither waits nor allocates.

#include "networks.hpp"
#include "support/backends.hpp"

#include <dynascope/error.hpp>

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace dynascope::test {
namespace {

using engine::Plan;
using engine::PlanOptions;

/// Holds a stream until it is opened, or for two seconds.
class Gate {
 public:
  static void hold(void* gate) {
    auto* self = static_cast<Gate*>(gate);
    std::unique_lock<std::mutex> lock(self->mutex_);
    self->timed_out_ = !self->opened_.wait_for(lock, std::chrono::seconds(2), [&] { return self->open_; });
  }

  /// True when nobody had to wait until the end.
  bool open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    opened_.notify_all();
    return !timed_out_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
  bool timed_out_ = false;
};

class OnCuda : public OnBackend {
 protected:
  void SetUp() override {
    OnBackend::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) {
      network_ = mlp_network(device(), at::kFloat, 1);
      plan_ = std::make_unique<Plan>(network_, PlanOptions{});
    }
  }

  std::vector<std::byte> row(const engine::Backend& backend, int64_t slot) const {
    return std::vector<std::byte>(backend.row(slot), backend.row(slot) + plan_->layout().bytes());
  }

  // Rows of the cpu for weights that are multiplied by 1, 2, 4, ...
  std::vector<std::vector<std::byte>> expected_rows(int64_t count) const {
    Network network = mlp_network(at::kCPU, at::kFloat, 1);
    const Plan plan(network, PlanOptions{});
    const auto backend = engine::make_backend(plan, 1);
    std::vector<std::vector<std::byte>> rows;
    for (int64_t i = 0; i < count; ++i) {
      backend->measure(0, false);
      rows.push_back(row(*backend, 0));
      double_weights(network);
    }
    return rows;
  }

  static void double_weights(const Network& network) {
    for (const WeightLayer& layer : network.weight_layers) {
      layer.weight.mul_(2.0);
    }
  }

  Network network_;
  std::unique_ptr<Plan> plan_;
};

INSTANTIATE_TEST_SUITE_P(Backends, OnCuda, ::testing::Values(backends().back()), backend_name);

TEST_P(OnCuda, RowsAreOfTheWeightsAtTheCallThoughTheseChangeAtOnce) {
  const auto backend = engine::make_backend(*plan_, 8);
  for (int64_t slot = 0; slot < 8; ++slot) {
    backend->measure(slot, false);
    double_weights(network_);
  }
  const auto expected = expected_rows(8);
  for (int64_t slot = 0; slot < 8; ++slot) {
    backend->wait(slot);
    EXPECT_TRUE(backend->ready(slot));
    EXPECT_EQ(row(*backend, slot), expected[static_cast<size_t>(slot)]) << "slot " << slot;
  }
}

TEST_P(OnCuda, AnotherThreadMayWait) {
  const auto backend = engine::make_backend(*plan_, 2);
  backend->measure(1, false);
  std::vector<std::byte> seen;
  std::thread([&] {
    backend->wait(1);
    seen = row(*backend, 1);
  }).join();
  EXPECT_EQ(seen, expected_rows(1)[0]);
}

TEST_P(OnCuda, AnotherStreamSharesTheWorkspaceInOrder) {
  const auto backend = engine::make_backend(*plan_, 4);
  const auto expected = expected_rows(1)[0];
  for (int64_t slot = 0; slot < 4; ++slot) {
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
    backend->measure(slot, false);
  }
  for (int64_t slot = 0; slot < 4; ++slot) {
    backend->wait(slot);
    EXPECT_EQ(row(*backend, slot), expected) << "slot " << slot;
  }
}

TEST_P(OnCuda, ASteadyMeasurementNeitherAllocatesNorWaitsForTheDevice) {
  const auto backend = engine::make_backend(*plan_, 2);
  const auto allocations = [] {
    return c10::cuda::CUDACachingAllocator::getDeviceStats(0)
        .allocation[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)]
        .allocated;
  };
  backend->measure(0, false);
  const int64_t before = allocations();
  Gate gate;
  ASSERT_EQ(cudaLaunchHostFunc(c10::cuda::getCurrentCUDAStream(), &Gate::hold, &gate), cudaSuccess);
  for (int64_t i = 0; i < 10; ++i) {
    backend->measure(i % 2, false);
  }
  EXPECT_FALSE(backend->ready(1));
  EXPECT_TRUE(gate.open()) << "measure() waited for the device";
  EXPECT_EQ(allocations(), before);
  backend->wait(1);
  EXPECT_EQ(row(*backend, 1), expected_rows(1)[0]);
}

TEST_P(OnCuda, MeasuringDuringACaptureIsAnErrorThatLeavesTheCaptureAlive) {
  const auto backend = engine::make_backend(*plan_, 1);
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
  at::cuda::CUDAGraph graph;
  graph.capture_begin();
  EXPECT_THROW(backend->measure(0, false), Error);
  double_weights(network_);
  graph.capture_end();
  graph.replay();
  backend->measure(0, false);
  backend->wait(0);
  EXPECT_EQ(row(*backend, 0), expected_rows(2)[1]);
}

TEST_P(OnCuda, ACapturedTensorFollowsTheWeightsWhenReplayed) {
  const auto backend = engine::make_backend(*plan_, 1);
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
  static_cast<void>(backend->measure_to_tensor(false));
  at::cuda::CUDAGraph graph;
  graph.capture_begin();
  const at::Tensor tensor = backend->measure_to_tensor(false);
  graph.capture_end();
  double_weights(network_);
  graph.replay();
  const at::Tensor host = tensor.cpu();
  const auto expected = expected_rows(2)[1];
  EXPECT_EQ(std::memcmp(host.const_data_ptr(), expected.data(), expected.size()), 0);
}

}  // namespace
}  // namespace dynascope::test
