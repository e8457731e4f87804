// SPDX-License-Identifier: BSD-3-Clause
// What a training step with a Monitor asks of a device, counted on one that is not there
// (tests/support/pretended_cuda).
#include "support/pretended_cuda/calls.hpp"

#include <dynascope/dynascope.hpp>

#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <dlfcn.h>
#include <memory>
#include <stdexcept>
#include <string>

namespace dynascope {
namespace {

test::CudaCalls& calls() {
  const auto of_thread = reinterpret_cast<test::CudaCallsOfThread*>(::dlsym(RTLD_DEFAULT, test::kCudaCallsOfThread));
  if (of_thread == nullptr) {
    throw std::runtime_error("the pretended device is not loaded: set LD_PRELOAD as CTest does");
  }
  return *of_thread();
}

// Linear layers of 30 units, every second one with a bias. Copied to the device, where nothing can be computed.
Network network(int64_t layers) {
  const auto random = [](at::IntArrayRef sizes) { return at::randn(sizes).to(at::kCUDA); };
  NetworkBuilder builder;
  auto value = builder.input("input", {30});
  for (int64_t i = 0; i < layers; ++i) {
    value = builder.linear("fc" + std::to_string(i), value, random({30, 30}), i % 2 == 0 ? random({30}) : at::Tensor());
  }
  builder.output(value);
  return builder.build();
}

class CudaCallsTest : public ::testing::TestWithParam<int64_t> {
 protected:
  /// Of this thread in `steps` steps, after some that may set things up.
  test::CudaCalls of_steps(Monitor& monitor, int64_t steps) {
    for (int64_t step = 0; step < 3; ++step) {
      monitor.on_step_end();
    }
    calls() = {};
    for (int64_t step = 0; step < steps; ++step) {
      monitor.on_step_end();
    }
    return calls();
  }

  MonitorOptions options() const { return MonitorOptions("").sink(sink_).every_n_steps(1); }

  Monitor& begun(Monitor& monitor) const {
    monitor.set_network(network(GetParam()));
    monitor.on_train_begin();
    return monitor;
  }

  const std::shared_ptr<torch::nn::Module> nothing_ = std::make_shared<torch::nn::Module>();
  const std::shared_ptr<MemorySink> sink_ = std::make_shared<MemorySink>();
};

constexpr int64_t kSteps = 500;

void expect_steady(const test::CudaCalls& made, int64_t rows, int64_t rows_with_histograms = 0) {
  EXPECT_EQ(made.launches, 3 * rows);
  EXPECT_EQ(made.to_host, rows);
  EXPECT_EQ(made.waits, 0);
  EXPECT_EQ(made.allocations, 0);
  EXPECT_EQ(made.to_device, 0);
  EXPECT_EQ(made.other_copies, 0);
  EXPECT_EQ(made.fills, rows_with_histograms);  // of the counts, with zeros
  EXPECT_EQ(made.creations, 0);
}

TEST_P(CudaCallsTest, AStepIsThreeLaunchesAndOneCopyAndNeitherWaitsNorAllocates) {
  Monitor monitor(nothing_, options());
  const test::CudaCalls made = of_steps(begun(monitor), kSteps);
  monitor.on_train_end();
  EXPECT_EQ(sink_->description().backend, "cuda");
  EXPECT_EQ(monitor.status().errors, 0) << monitor.status().first_error;
  EXPECT_EQ(monitor.status().rows_written, kSteps + 4);
  expect_steady(made, kSteps);
  EXPECT_EQ(made.records, 2 * kSteps);
}

TEST_P(CudaCallsTest, SoIsAStepWithHistograms) {
  Monitor monitor(nothing_, options().histogram(Histogram::kEveryRow));
  const test::CudaCalls made = of_steps(begun(monitor), kSteps);
  monitor.on_train_end();
  expect_steady(made, kSteps, kSteps);
}

TEST_P(CudaCallsTest, SoIsOneOnABudget) {
  Monitor monitor(nothing_, options().overhead_budget(0.9));
  const test::CudaCalls made = of_steps(begun(monitor), kSteps);
  monitor.on_train_end();
  EXPECT_GT(made.to_host, 0);
  // The block that held the histograms of row 0 is set to -1 when it comes to use again.
  EXPECT_LE(made.fills, 1);
  expect_steady(made, made.to_host, made.fills);
}

TEST_P(CudaCallsTest, AStepWithoutARowAsksForNothing) {
  Monitor monitor(nothing_, options().every_n_steps(1 << 20));
  const test::CudaCalls made = of_steps(begun(monitor), kSteps);
  monitor.on_train_end();
  EXPECT_EQ(made.launches + made.to_host + made.records, 0);
  expect_steady(made, 0);
}

TEST_P(CudaCallsTest, AnEpochEndIsASnapshotLikeAnyOther) {
  Monitor monitor(nothing_, options().every_n_steps(0));
  begun(monitor).on_epoch_end();
  calls() = {};
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    monitor.on_step_end();
    monitor.on_epoch_end();
  }
  const test::CudaCalls made = calls();
  monitor.on_train_end();
  expect_steady(made, 20, 20);
}

INSTANTIATE_TEST_SUITE_P(Layers, CudaCallsTest, ::testing::Values(1, 3, 54));

}  // namespace
}  // namespace dynascope
