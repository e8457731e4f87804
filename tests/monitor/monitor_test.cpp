// SPDX-License-Identifier: BSD-3-Clause
// The loop of the README on a small network: what is recorded, and that training does not notice.
#include "nets.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace dynascope {
namespace {

std::vector<double> doubles(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous().flatten();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

std::string steps_of(const MemorySink& sink) {
  std::string text;
  for (const Row& row : sink.rows()) {
    text += (text.empty() ? "" : " ") + std::to_string(row.step) + "/" + std::to_string(row.epoch) +
            (row.epoch_end ? "." : "");
  }
  return text;
}

TEST(Monitor, RecordsEveryEpochEndWithScalars) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink).title("a title").source("a test").config("{\"lr\": 0.05}"));
  monitor.trace([&] { return net->forward(example()); });
  const Network network = monitor.network();
  ASSERT_EQ(network.node_layers.size(), 3u) << network;
  const auto strength0 = node_strength(network);
  const auto fluctuation0 = doubles(layer_fluctuation(network));
  const auto losses = train(net, &monitor);

  EXPECT_EQ(steps_of(*sink), "0/0. 4/1. 8/2. 12/3.");
  EXPECT_EQ(sink->values(0, "/nodes/fluctuation"), fluctuation0);
  EXPECT_EQ(sink->values(0, "/nodes/001_fc1/strength"), doubles(strength0[1]));
  EXPECT_EQ(sink->values(3, "/nodes/fluctuation"), doubles(layer_fluctuation(network)));
  EXPECT_EQ(sink->values(3, "/links/norm"), doubles(link_weights(network).norm));
  EXPECT_TRUE(std::isnan(sink->rows()[0].scalars[0]));
  EXPECT_EQ(sink->rows()[3].scalars[0], losses[11]);
  EXPECT_EQ(sink->rows()[0].time, 0);
  EXPECT_LE(sink->rows()[1].time, sink->rows()[2].time);
  EXPECT_GT(sink->rows()[1].snapshot_seconds, 0);

  const RunDescription& run = sink->description();
  EXPECT_EQ(run.node_layers[0].name, "input");
  EXPECT_EQ(run.backend, "cpu");
  EXPECT_EQ(run.device, "cpu");
  EXPECT_EQ(run.torch_version.rfind("2.", 0), 0u);
  EXPECT_EQ(run.title, "a title");
  EXPECT_EQ(run.source, "a test");
  const auto config = nlohmann::json::parse(run.config);
  EXPECT_EQ(config["user"]["lr"], 0.05);
  EXPECT_EQ(config["monitor"]["histogram"], "epoch-ends");

  const MonitorStatus status = monitor.status();
  EXPECT_EQ(status.rows_written, 4);
  EXPECT_EQ(status.rows_dropped, 0);
  EXPECT_EQ(status.errors, 0);
  EXPECT_EQ(status.first_error, "");
  EXPECT_TRUE(status.skipped.empty());
  EXPECT_GT(status.snapshot_seconds, 0);
  EXPECT_GT(status.training_seconds, 0);
}

TEST(Monitor, RowsAtStepsHaveNoHistogramUnlessAsked) {
  for (const Histogram histogram : {Histogram::kEpochEnds, Histogram::kEveryRow}) {
    Net net = make_net();
    const auto sink = std::make_shared<MemorySink>();
    Monitor monitor(net, into(sink).every_n_steps(2).histogram(histogram));
    monitor.trace([&] { return net->forward(example()); });
    train(net, &monitor, 2);
    ASSERT_EQ(steps_of(*sink), "0/0. 2/1 4/1. 6/2 8/2.");
    for (size_t row = 0; row < 5; ++row) {
      const auto counts = sink->values(row, "/links/histogram");
      const double sum = std::accumulate(counts.begin(), counts.end(), 0.0);
      const bool filled = histogram == Histogram::kEveryRow || sink->rows()[row].epoch_end;
      // 4 * 5 + 5 entries in the first weight layer, 5 * 3 + 3 in the second; 130 bins each.
      EXPECT_EQ(sum, filled ? 43 : -2 * 130) << "row " << row;
    }
  }
}

TEST(Monitor, HistogramEdgesSpanFourTimesTheLargestEntryOfRow0) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  {
    const torch::NoGradGuard no_grad;
    net->fc1->weight.fill_(0.5);
    net->fc1->bias.fill_(-2);
    net->fc2->weight.zero_();
    net->fc2->bias.zero_();
  }
  Monitor monitor(net, into(sink).histogram_bins(8));
  monitor.trace([&] { return net->forward(example()); });
  train(net, &monitor, 1);
  EXPECT_EQ(sink->description().histogram_edges,
            (std::vector<double>{-8, -6, -4, -2, 0, 2, 4, 6, 8, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(sink->values(0, "/links/histogram"),
            (std::vector<double>{0, 0, 0, 0, 5, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0}));
}

TEST(Monitor, TheFileHoldsWhatMemoryHolds) {
  const RunPath path("same.h5");
  const auto sink = std::make_shared<MemorySink>();
  const auto options =
      MonitorOptions(path.string()).every_n_steps(3).scalars({"loss"}).components(true).record_parameters(true);
  for (const bool to_file : {true, false}) {
    Net net = make_net();
    Monitor monitor(net, to_file ? options : MonitorOptions(options).sink(sink));
    monitor.trace([&] { return net->forward(example()); });
    train(net, &monitor);
    ASSERT_EQ(monitor.status().first_error, "");
    if (to_file) {
      EXPECT_GT(monitor.status().bytes_written, 0);
    }
  }
  const RunFile file(path.string());
  ASSERT_EQ(file.rows(), static_cast<int64_t>(sink->rows().size()));
  EXPECT_FALSE(file.in_progress());
  for (int64_t row = 0; row < file.rows(); ++row) {
    for (const Span& span : sink->layout().spans()) {
      const auto expected = sink->values(static_cast<size_t>(row), span.path);
      const auto got = file.read(span.path, row, 1);
      ASSERT_EQ(got.size(), expected.size()) << span.path;
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_TRUE(got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i])))
            << span.path << " row " << row << ": " << got[i] << " and " << expected[i];
      }
    }
  }
  EXPECT_EQ(file.row_index().step[1], 3);
}

TEST(Monitor, RecordedParametersAreThoseOfTheStep) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink).every_n_steps(1).record_parameters(true));
  monitor.trace([&] { return net->forward(example()); });
  std::vector<std::vector<double>> weights{doubles(net->fc2->weight)};
  train(net, &monitor, 2, [&](Net& now, int64_t /*step*/) { weights.push_back(doubles(now->fc2->weight)); });
  ASSERT_EQ(sink->rows().size(), weights.size());
  for (size_t row = 0; row < weights.size(); ++row) {
    EXPECT_EQ(sink->values(row, "/parameters/fc2.weight"), weights[row]) << "row " << row;
  }
}

TEST(Monitor, LossesAreBitEqualToThoseOfAnUnmonitoredRun) {
  Net plain = make_net();
  const auto expected = train(plain, nullptr);
  Net net = make_net();
  Monitor monitor(net, into(std::make_shared<MemorySink>()).every_n_steps(1).components(true).record_parameters(true));
  monitor.trace([&] { return net->forward(example()); });
  EXPECT_EQ(train(net, &monitor), expected);
}

TEST(Monitor, WithoutTraceASequentialIsWalked) {
  torch::nn::Sequential net(torch::nn::Linear(4, 5), torch::nn::ReLU(), torch::nn::Linear(5, 3));
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  monitor.on_train_begin();
  monitor.on_train_end();
  EXPECT_EQ(sink->description().node_layers.size(), 3u);
  EXPECT_EQ(sink->rows().size(), 1u);
}

TEST(Monitor, WithoutTraceAnythingElseIsMeasuredLayerByLayer) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  const auto losses = train(net, &monitor);
  EXPECT_TRUE(sink->description().node_layers.empty());
  EXPECT_EQ(sink->description().weight_layers.size(), 2u);
  EXPECT_EQ(sink->rows().size(), 4u);
  EXPECT_FALSE(monitor.status().skipped.empty());
  EXPECT_EQ(monitor.status().first_error, "");
}

TEST(Monitor, SeveralNetworksStandUnderTheirNames) {
  Net actor = make_net(), critic = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor({{"actor", actor}, {"critic", critic}}, into(sink));
  monitor.trace([&] { return std::tuple{actor->forward(example()), critic->forward(example())}; });
  monitor.on_train_begin();
  monitor.on_train_end();
  ASSERT_EQ(sink->description().weight_layers.size(), 4u);
  EXPECT_EQ(sink->description().weight_layers[0].name, "actor.fc1.weight");
  EXPECT_EQ(sink->description().weight_layers[3].name, "critic.fc2.weight");
}

TEST(Monitor, ExcludedLayersAreSkippedAndSaidSo) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink).exclude("^fc2"));
  monitor.trace([&] { return net->forward(example()); });
  train(net, &monitor, 1);
  ASSERT_EQ(sink->description().weight_layers.size(), 1u);
  EXPECT_EQ(sink->description().weight_layers[0].name, "fc1.weight");
  bool told = false;
  for (const SkippedInfo& skipped : monitor.status().skipped) {
    told = told || skipped.name == "fc2.weight";
  }
  EXPECT_TRUE(told);
}

TEST(Monitor, DestructorClosesWhatWasLeftOpen) {
  const RunPath path("destructor.h5");
  {
    Net net = make_net();
    Monitor monitor(net, MonitorOptions(path.string()).every_n_steps(1));
    monitor.trace([&] { return net->forward(example()); });
    monitor.on_train_begin();
    monitor.on_step_end();
    monitor.on_step_end();
  }
  const RunFile file(path.string());
  EXPECT_EQ(file.rows(), 3);
  EXPECT_FALSE(file.in_progress());
}

// Runs in a process of its own: `last` ends it while the run is under way.
void record_until(const std::string& path, void (*last)()) {
  Net net = make_net();
  Monitor monitor(net, MonitorOptions(path).every_n_steps(1).title("cut short"));
  monitor.trace([&] { return net->forward(example()); });
  monitor.on_train_begin();
  monitor.on_step_end();
  monitor.on_epoch_end();
  monitor.on_step_end();
  last();
}

class MonitorDeathTest : public testing::Test {
 protected:
  MonitorDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(MonitorDeathTest, AProgramThatCallsExitClosesItsRunWhole) {
  const std::string path = testing::TempDir() + "dynascope-exit-test.h5";
  std::filesystem::remove(path);
  EXPECT_EXIT(record_until(path, [] { std::exit(3); }), testing::ExitedWithCode(3), "^$");
  const RunFile file(path);
  EXPECT_EQ(file.row_index().step, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_FALSE(file.in_progress());
  std::filesystem::remove(path);
}

TEST_F(MonitorDeathTest, AnotherThreadThatCallsExitSavesWhatIsQueued) {
  const std::string path = testing::TempDir() + "dynascope-exit-thread-test.h5";
  std::filesystem::remove(path);
  EXPECT_EXIT(record_until(path, [] { std::thread([] { std::exit(3); }).join(); }), testing::ExitedWithCode(3), "^$");
  const RunFile file(path);
  EXPECT_EQ(file.row_index().step, (std::vector<int64_t>{0, 1}));
  EXPECT_FALSE(file.in_progress());
  std::filesystem::remove(path);
}

TEST(Monitor, AValueLoggedBeforeTrainingBelongsToRowZero) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, MonitorOptions().sink(sink).scalars({"accuracy", "loss"}));
  monitor.log("accuracy", 0.5);
  monitor.log("accuracy", 0.1);
  train(net, &monitor, 1);
  monitor.on_train_end();
  ASSERT_EQ(sink->rows().size(), 2u);
  EXPECT_EQ(sink->rows()[0].scalars[0], 0.1);
  EXPECT_TRUE(std::isnan(sink->rows()[0].scalars[1]));
  EXPECT_TRUE(std::isnan(sink->rows()[1].scalars[0]));
  EXPECT_EQ(monitor.status().errors, 0);
}

TEST(Monitor, DisabledInTheEnvironmentDoesNothingAtAll) {
  const RunPath path("disabled.h5");
  setenv("DYNASCOPE_DISABLE", "1", 1);
  Net net = make_net();
  Monitor monitor(net, MonitorOptions(path.string()).every_n_steps(-5));
  bool ran = false;
  monitor.trace([&] {
    ran = true;
    return net->forward(example());
  });
  train(net, &monitor);
  monitor.log("reward", 1);
  EXPECT_FALSE(ran);
  EXPECT_EQ(monitor.status().rows_written, 0);
  EXPECT_EQ(monitor.status().errors, 0);
  EXPECT_TRUE(monitor.network().weight_layers.empty());
  EXPECT_FALSE(std::filesystem::exists(path.string()));
  setenv("DYNASCOPE_DISABLE", "0", 1);
  EXPECT_THROW(Monitor(net, MonitorOptions(path.string()).every_n_steps(-5)), std::invalid_argument);
  unsetenv("DYNASCOPE_DISABLE");
}

}  // namespace
}  // namespace dynascope
