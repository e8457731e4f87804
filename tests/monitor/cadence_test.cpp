// SPDX-License-Identifier: BSD-3-Clause
// Which steps have rows, which layers are in them, and who says that a step is done.
#include "nets.hpp"

#include <dynascope/observe.hpp>
#include <dynascope/schedule.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace dynascope {
namespace {

std::vector<int64_t> steps_of(const MemorySink& sink) {
  std::vector<int64_t> steps;
  for (const Row& row : sink.rows()) {
    steps.push_back(row.step);
  }
  return steps;
}

void take_steps(Monitor& monitor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    monitor.on_step_end();
  }
}

class CadenceTest : public testing::Test {
 protected:
  at::Tensor loss() { return net_->forward(example()).square().mean(); }
  void backward() { loss().backward(); }

  Net net_ = make_net();
  std::shared_ptr<MemorySink> sink_ = std::make_shared<MemorySink>();
};

TEST_F(CadenceTest, AWindowOfSingleStepsThenEveryFiftieth) {
  Monitor monitor(net_, into(sink_).schedule(Schedule().every(1, 100, 103).every(50, 104)));
  monitor.on_train_begin();
  take_steps(monitor, 210);
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 100, 101, 102, 103, 150, 200}));
  const auto config = nlohmann::json::parse(sink_->description().config);
  EXPECT_EQ(config["monitor"]["schedule"], "every step from 100 to 103, every 50 steps from 104 on");
}

TEST_F(CadenceTest, TheScheduleAddsToEveryNSteps) {
  Monitor monitor(net_, into(sink_).every_n_steps(40).schedule(Schedule().log_spaced(2)));
  monitor.on_train_begin();
  take_steps(monitor, 125);
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 1, 3, 10, 32, 40, 80, 100, 120}));
}

TEST_F(CadenceTest, AFunctionOfTheProgramDecides) {
  bool spike = false;
  Monitor monitor(net_, into(sink_).schedule(Schedule().when([&](int64_t) { return spike; }, "loss spikes")));
  monitor.on_train_begin();
  take_steps(monitor, 5);
  spike = true;
  take_steps(monitor, 1);
  spike = false;
  take_steps(monitor, 5);
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 6}));
}

TEST_F(CadenceTest, AFunctionThatThrowsEndsTheRecordingAndNothingElse) {
  Monitor monitor(net_, into(sink_).schedule(Schedule().when(
                            [](int64_t step) { return step < 3 ? true : throw std::runtime_error("no such step"); })));
  monitor.on_train_begin();
  EXPECT_NO_THROW(take_steps(monitor, 5));
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_NE(monitor.status().first_error.find("no such step"), std::string::npos);
}

TEST_F(CadenceTest, WithoutEpochsLoggedValuesAttachToTheRowsOfSteps) {
  Monitor monitor(net_, into(sink_).every_n_steps(2));
  monitor.on_train_begin();
  for (int64_t step = 1; step <= 5; ++step) {
    monitor.log("loss", static_cast<double>(step));
    monitor.on_step_end();
  }
  monitor.on_train_end();
  ASSERT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 2, 4}));
  EXPECT_EQ(sink_->rows()[1].scalars[0], 2);
  EXPECT_EQ(sink_->rows()[2].scalars[0], 4);
  EXPECT_EQ(sink_->rows()[2].epoch, 1);
}

TEST_F(CadenceTest, StepsAreTheOptimizersAlsoWhenGradientsAreAccumulated) {
  auto optimizer = torch::optim::SGD(net_->parameters(), 0.01);
  Monitor monitor(net_, into(sink_).every_n_steps(1));
  monitor.on_train_begin();
  for (int64_t batch = 1; batch <= 12; ++batch) {
    backward();
    if (batch % 4 == 0) {
      optimizer.step();
      monitor.on_step_end();
      optimizer.zero_grad();
    }
  }
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST_F(CadenceTest, AnObservedOptimizerTellsOfItsSteps) {
  Monitor monitor(net_, into(sink_).every_n_steps(1));
  auto optimizer = observe(torch::optim::SGD(net_->parameters(), 0.5), monitor);
  torch::optim::StepLR schedule(optimizer, 1, 0.1);
  torch::optim::Optimizer& as_any = optimizer;
  monitor.on_train_begin();
  for (int64_t step = 0; step < 3; ++step) {
    as_any.zero_grad();
    backward();
    as_any.step();
    schedule.step();
  }
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_LT(optimizer.param_groups()[0].options().get_lr(), 0.1);
  EXPECT_NE(sink_->values(1, "/links/norm"), sink_->values(0, "/links/norm"));
}

TEST_F(CadenceTest, AnObservedOptimizerTrainsAsItWouldUnobserved) {
  Net other = make_net();
  auto plain = torch::optim::Adam(other->parameters(), 0.01);
  Monitor monitor(net_, into(sink_));
  auto observed = observe(torch::optim::Adam(net_->parameters(), 0.01), monitor);
  monitor.on_train_begin();
  for (int64_t step = 0; step < 5; ++step) {
    for (auto* turn : {&other, &net_}) {
      auto& optimizer = turn == &other ? static_cast<torch::optim::Optimizer&>(plain) : observed;
      optimizer.zero_grad();
      (*turn)->forward(example()).square().mean().backward();
      optimizer.step();
    }
  }
  monitor.on_train_end();
  for (size_t i = 0; i < net_->parameters().size(); ++i) {
    EXPECT_TRUE(torch::equal(net_->parameters()[i], other->parameters()[i]));
  }
}

TEST_F(CadenceTest, AStepWithAClosureIsOneStepHoweverOftenItIsCalled) {
  Monitor monitor(net_, into(sink_).every_n_steps(1));
  auto optimizer =
      observe(torch::optim::LBFGS(net_->parameters(), torch::optim::LBFGSOptions(0.1).max_iter(4)), monitor);
  int64_t calls = 0;
  const auto closure = [&] {
    ++calls;
    optimizer.zero_grad();
    const at::Tensor value = loss();
    value.backward();
    return value;
  };
  monitor.on_train_begin();
  const double before = loss().item<double>();
  EXPECT_EQ(optimizer.step(closure).item<double>(), before);
  optimizer.step(closure);
  monitor.on_train_end();
  EXPECT_GT(calls, 2);
  EXPECT_LT(loss().item<double>(), before);
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 1, 2}));
}

TEST_F(CadenceTest, AStepThatThrowsIsNone) {
  Monitor monitor(net_, into(sink_).every_n_steps(1));
  auto optimizer = observe(torch::optim::LBFGS(net_->parameters()), monitor);
  monitor.on_train_begin();
  const auto broken = []() -> at::Tensor { throw std::runtime_error("no data"); };
  EXPECT_THROW(optimizer.step(broken), std::runtime_error);
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0}));
}

TEST_F(CadenceTest, AnOptimizerThatStaysWhereItIsCanBeObservedToo) {
  auto optimizer = torch::optim::SGD(net_->parameters(), 0.5);
  Monitor monitor(net_, into(sink_).every_n_steps(2));
  auto observed = observe(optimizer, monitor);
  monitor.on_train_begin();
  for (int64_t step = 0; step < 4; ++step) {
    observed.zero_grad();
    backward();
    observed.step();
  }
  observed->param_groups()[0].options().set_lr(0.25);
  EXPECT_EQ(optimizer.param_groups()[0].options().get_lr(), 0.25);
  monitor.on_train_end();
  EXPECT_EQ(steps_of(*sink_), (std::vector<int64_t>{0, 2, 4}));
}

TEST_F(CadenceTest, LayersAreChosenByAFunctionOfTheirPath) {
  Monitor monitor(net_, into(sink_).select([](const std::string& path) { return path == "fc2.weight"; }));
  monitor.trace([&] { return net_->forward(example()); });
  monitor.on_train_begin();
  monitor.on_train_end();
  const RunDescription& run = sink_->description();
  ASSERT_EQ(run.weight_layers.size(), 1u);
  EXPECT_EQ(run.weight_layers[0].name, "fc2.weight");
  const auto excluded = std::find_if(run.skipped.begin(), run.skipped.end(),
                                     [](const SkippedInfo& skipped) { return skipped.name == "fc1.weight"; });
  ASSERT_NE(excluded, run.skipped.end());
  EXPECT_EQ(excluded->reason, "excluded");
  EXPECT_EQ(run.parameter_count, 4 * 5 + 5 + 5 * 3 + 3);
  EXPECT_EQ(run.measured_count, 5 * 3 + 3);
  EXPECT_EQ(nlohmann::json::parse(run.config)["monitor"]["select"], "a function of the program");
}

// A snapshot of a million weights costs a good part of the step that this network is given.
TEST(OverheadBudget, IsKeptOverARunAndItsDecisionsAreEvents) {
  constexpr double kShare = 0.02;
  torch::nn::Linear net(1000, 1000);
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, MonitorOptions("").sink(sink).every_n_steps(1).overhead_budget(kShare).buffered_rows(256));
  monitor.on_train_begin();
  for (int64_t step = 0; step < 2000; ++step) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(500);
    while (std::chrono::steady_clock::now() < until) {
    }
    monitor.on_step_end();
  }
  monitor.on_train_end();
  const MonitorStatus status = monitor.status();
  EXPECT_EQ(status.errors, 0) << status.first_error;
  double paid = 0, dearest = 0;
  for (const Row& row : sink->rows()) {
    if (row.step > 0) {
      paid += row.snapshot_seconds;
      dearest = std::max(dearest, row.snapshot_seconds);
    }
  }
  // Where others want the processor, a single snapshot may have waited for longer than all may take.
  EXPECT_LE((paid - dearest) / status.training_seconds, kShare);
  EXPECT_GE(status.rows_written, 2);
  EXPECT_LT(status.rows_written, 1000);
  ASSERT_FALSE(sink->events().empty());
  for (const Event& event : sink->events()) {
    EXPECT_EQ(event.code, EventCode::kBudgetDecision) << event.message;
    EXPECT_GT(event.value, 0);
    EXPECT_EQ(event.message.rfind("overhead budget 2 %: one of ", 0), 0u) << event.message;
  }
}

}  // namespace
}  // namespace dynascope
