// SPDX-License-Identifier: BSD-3-Clause
// Bad use and bad luck: a clear error at set-up, or a recorded status; and losses bit-equal to those of a run that
// meets the same accidents without a Monitor.
#include "nets.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>

namespace dynascope {
namespace {

using testing::TempDir;

/// What was recorded of a run with accidents, whose losses have been compared with those of an unmonitored one.
struct Outcome {
  MonitorStatus status;
  std::shared_ptr<MemorySink> sink = std::make_shared<MemorySink>();

  const Event* event(EventCode code) const {
    for (const Event& event : sink->events()) {
      if (event.code == code) {
        return &event;
      }
    }
    return nullptr;
  }
};

Outcome run_with(const Accident& accident, int64_t every_n_steps = 1) {
  Outcome outcome;
  Net plain = make_net();
  const auto expected = train(plain, nullptr, 3, accident);
  Net net = make_net();
  Monitor monitor(net, into(outcome.sink).every_n_steps(every_n_steps));
  monitor.trace([&] { return net->forward(example()); });
  const auto losses = train(net, &monitor, 3, accident);
  EXPECT_EQ(losses.size(), expected.size());
  for (size_t step = 0; step < losses.size(); ++step) {
    EXPECT_TRUE(losses[step] == expected[step] || (std::isnan(losses[step]) && std::isnan(expected[step])))
        << "step " << step << ": " << losses[step] << " monitored, " << expected[step] << " not";
  }
  outcome.status = monitor.status();
  return outcome;
}

Monitor& traced(Monitor& monitor, Net& net) {
  monitor.trace([&] { return net->forward(example()); });
  return monitor;
}

template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(Misuse, CallsBeforeOnTrainBeginAreCountedAndRecordingStillWorks) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  monitor.on_step_end();
  monitor.on_epoch_end();
  EXPECT_EQ(monitor.status().errors, 2);
  EXPECT_EQ(monitor.status().first_error, "on_step_end before on_train_begin records nothing");
  train(net, &traced(monitor, net), 1);
  EXPECT_EQ(sink->rows().size(), 2u);
  ASSERT_EQ(sink->events().size(), 1u);
  EXPECT_EQ(sink->events()[0].message, "on_step_end before on_train_begin records nothing");
}

TEST(Misuse, CallsAfterOnTrainEndAreCounted) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  train(net, &traced(monitor, net), 1);
  monitor.on_step_end();
  monitor.on_epoch_end({{"loss", 1}});
  monitor.log("loss", 1);
  monitor.on_train_end();
  EXPECT_EQ(monitor.status().errors, 3);
  EXPECT_EQ(monitor.status().first_error, "on_step_end after on_train_end records nothing");
  EXPECT_EQ(sink->rows().size(), 2u);
}

TEST(Misuse, ASecondOnTrainBeginIsAnError) {
  Net net = make_net();
  Monitor monitor(net, into(std::make_shared<MemorySink>()));
  traced(monitor, net).on_train_begin();
  EXPECT_THROW(monitor.on_train_begin(), Error);
  EXPECT_THROW(traced(monitor, net), Error);
  monitor.on_train_end();
  EXPECT_THROW(monitor.on_train_begin(), Error);
}

TEST(Misuse, UnknownScalarIsAStatusNotAnException) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink).scalars({"accuracy"}));
  train(net, &traced(monitor, net), 3);
  EXPECT_EQ(monitor.status().errors, 3);
  EXPECT_NE(monitor.status().first_error.find("unknown scalar 'loss'"), std::string::npos);
  EXPECT_EQ(sink->rows().size(), 4u);
}

TEST(Misuse, UnwritablePathIsAnErrorAtSetUpAndNamesThePath) {
  Net net = make_net();
  const std::string path = TempDir() + "no/such/folder/run.h5";
  Monitor monitor(net, MonitorOptions(path));
  traced(monitor, net);
  EXPECT_NE(error_of([&] { monitor.on_train_begin(); }).find(path), std::string::npos);
}

TEST(Misuse, AnExistingFileIsAnErrorAndStaysAsItIs) {
  Net net = make_net();
  const std::string path = TempDir() + "dynascope_existing_" + std::to_string(getpid()) + ".h5";
  std::ofstream(path) << "precious";
  {
    Monitor monitor(net, MonitorOptions(path));
    traced(monitor, net);
    EXPECT_NE(error_of([&] { monitor.on_train_begin(); }).find(path), std::string::npos);
  }
  std::string content;
  std::getline(std::ifstream(path), content);
  EXPECT_EQ(content, "precious");
  {
    Monitor monitor(net, MonitorOptions(path).overwrite(true).scalars({"loss"}));
    train(net, &traced(monitor, net), 1);
    EXPECT_EQ(monitor.status().first_error, "");
  }
  EXPECT_EQ(RunFile(path).rows(), 2);
  std::filesystem::remove(path);
}

TEST(Misuse, AForwardThatThrowsComesOutOfTraceAndTheMonitorCanStillBeUsed) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  EXPECT_EQ(error_of([&] { monitor.trace([&]() -> at::Tensor { throw std::runtime_error("no data"); }); }), "no data");
  EXPECT_TRUE(net->is_training());
  train(net, &traced(monitor, net), 1);
  EXPECT_EQ(sink->description().node_layers.size(), 3u);
}

TEST(Misuse, ParametersThatChangeTheirDtypeAreMeasuredOn) {
  const auto outcome = run_with([](Net& net, int64_t step) {
    if (step == 3) {
      net->to(torch::kFloat64);
    } else if (step == 6) {
      net->to(torch::kFloat32);
    }
  });
  EXPECT_EQ(outcome.sink->rows().size(), 13u);
  EXPECT_EQ(outcome.status.first_error, "");
  ASSERT_NE(outcome.event(EventCode::kReplanned), nullptr);
  EXPECT_EQ(outcome.event(EventCode::kReplanned)->step, 3);
  EXPECT_EQ(outcome.sink->events().size(), 2u);
}

TEST(Misuse, RecordedParametersKeepTheirStoredDtype) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink).every_n_steps(1).record_parameters(true));
  std::vector<double> last;
  train(net, &traced(monitor, net), 1, [&](Net& now, int64_t step) {
    if (step == 2) {
      now->to(torch::kFloat64);
    }
    const at::Tensor weight = now->fc1->weight.detach().to(torch::kFloat32).to(torch::kFloat64).contiguous();
    last.assign(weight.data_ptr<double>(), weight.data_ptr<double>() + weight.numel());
  });
  EXPECT_EQ(monitor.status().first_error, "");
  ASSERT_EQ(sink->rows().size(), 5u);
  EXPECT_EQ(sink->values(4, "/parameters/fc1.weight"), last);
}

TEST(Misuse, ParametersThatMoveAtEveryStepAreMeasuredWhereTheyAre) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  traced(monitor, net);
  train(net, &monitor, 2, [](Net& now, int64_t /*step*/) {
    for (auto& parameter : now->parameters()) {
      parameter.set_data(parameter.detach().clone());
    }
  });
  ASSERT_EQ(sink->rows().size(), 3u);
  EXPECT_EQ(monitor.status().first_error, "");
  const at::Tensor norm = link_weights(monitor.network()).norm;
  EXPECT_EQ(sink->values(2, "/links/norm"),
            std::vector<double>(norm.data_ptr<double>(), norm.data_ptr<double>() + norm.numel()));
}

TEST(Misuse, AResizedParameterEndsTheRecordingAndSaysFromWhatToWhat) {
  const auto outcome = run_with([](Net& net, int64_t step) {
    if (step == 6) {
      torch::manual_seed(1);
      net->fc2->weight.set_data(torch::rand({2, 5}));
      net->fc2->bias.set_data(torch::rand({2}));
    }
  });
  EXPECT_EQ(outcome.sink->rows().size(), 6u);  // steps 0 to 5
  ASSERT_NE(outcome.event(EventCode::kLayerLost), nullptr);
  EXPECT_EQ(outcome.event(EventCode::kLayerLost)->step, 6);
  const std::string& error = outcome.status.first_error;
  EXPECT_NE(error.find("fc2.weight"), std::string::npos) << error;
  EXPECT_NE(error.find("[3, 5]"), std::string::npos) << error;
  EXPECT_NE(error.find("[2, 5]"), std::string::npos) << error;
}

TEST(Misuse, AnotherLayerUnderTheSameNameIsFollowedFromTheNextEpochEnd) {
  Net net = make_net();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  traced(monitor, net);
  train(net, &monitor, 3, [](Net& now, int64_t step) {
    if (step == 6) {
      now->fc1 = now->replace_module("fc1", torch::nn::Linear(4, 5));
    }
  });
  EXPECT_EQ(monitor.status().first_error, "");
  ASSERT_EQ(sink->rows().size(), 4u);
  ASSERT_EQ(sink->events().size(), 1u);
  EXPECT_EQ(sink->events()[0].code, EventCode::kReplanned);
  EXPECT_EQ(sink->events()[0].step, 8);
  const at::Tensor all = torch::cat({net->fc1->weight.detach().flatten(), net->fc1->bias.detach()}).to(torch::kFloat64);
  EXPECT_NEAR(sink->values(3, "/links/norm")[0], all.norm().item<double>(), 1e-7);
}

TEST(Misuse, AnotherLayerOfAnotherShapeEndsTheRecording) {
  const auto outcome = run_with([](Net& net, int64_t step) {
    if (step == 6) {
      torch::manual_seed(2);
      net->fc1 = net->replace_module("fc1", torch::nn::Linear(4, 7));
      net->fc2 = net->replace_module("fc2", torch::nn::Linear(7, 3));
    }
  });
  ASSERT_NE(outcome.event(EventCode::kLayerLost), nullptr);
  EXPECT_EQ(outcome.event(EventCode::kLayerLost)->step, 8);
  EXPECT_NE(outcome.status.first_error.find("from [5, 4]"), std::string::npos) << outcome.status.first_error;
}

TEST(Misuse, NanWeightsAreAnEventWithLayerAndUnit) {
  const auto outcome = run_with([](Net& net, int64_t step) {
    if (step == 5) {
      const torch::NoGradGuard no_grad;
      net->fc1->weight[2][1] = std::numeric_limits<float>::quiet_NaN();
    }
  });
  EXPECT_EQ(outcome.sink->rows().size(), 13u);
  EXPECT_EQ(outcome.status.first_error, "");
  const Event* event = outcome.event(EventCode::kNonFinite);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->step, 5);
  EXPECT_EQ(event->value, 1);  // the second input unit loses its out-strength first
  EXPECT_NE(event->message.find("node layer input"), std::string::npos) << event->message;
  EXPECT_NE(event->message.find("weight layer fc1.weight"), std::string::npos) << event->message;
}

TEST(Misuse, NanWeightsFromTheStartAreRecorded) {
  Net net = make_net();
  {
    const torch::NoGradGuard no_grad;
    net->fc2->weight.fill_(std::numeric_limits<float>::quiet_NaN());
    net->fc2->bias.fill_(std::numeric_limits<float>::infinity());
  }
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  train(net, &traced(monitor, net), 1);
  EXPECT_EQ(sink->rows().size(), 2u);
  EXPECT_EQ(sink->description().histogram_edges[129], -1);
  EXPECT_EQ(sink->events().size(), 1u);
}

TEST(Misuse, AnEmptyLayerIsAnErrorAtSetUp) {
  torch::nn::Sequential net(torch::nn::Linear(4, 3), torch::nn::ReLU(), torch::nn::Linear(3, 0));
  Monitor monitor(net, into(std::make_shared<MemorySink>()));
  const std::string error = error_of([&] { monitor.trace([&] { return net->forward(example()); }); });
  EXPECT_NE(error.find("size 0"), std::string::npos) << error;
}

TEST(Misuse, ASinkThatThrowsEndsTheRecordingNotTheTraining) {
  class Full final : public Sink {
   public:
    void open(const RunDescription& /*description*/, const RowLayout& /*layout*/) override {}
    void write(const std::vector<Row>& /*rows*/) override {
      if (++writes_ == 2) {
        throw std::runtime_error("no space left on device");
      }
    }

   private:
    int writes_ = 0;
  };
  Net plain = make_net();
  const auto expected = train(plain, nullptr);
  Net net = make_net();
  Monitor monitor(net, into(std::make_shared<Full>()).every_n_steps(1).buffered_rows(2));
  EXPECT_EQ(train(net, &traced(monitor, net)), expected);
  EXPECT_EQ(monitor.status().first_error, "recording stopped: no space left on device");
  EXPECT_EQ(monitor.status().errors, 1);
}

TEST(Misuse, ANetworkWithoutParametersIsAnErrorAtSetUp) {
  torch::nn::Sequential net{torch::nn::ReLU(), torch::nn::Flatten()};
  Monitor monitor(net, into(std::make_shared<MemorySink>()));
  EXPECT_THROW(monitor.trace([&] { return net->forward(example()); }), Error);
}

}  // namespace
}  // namespace dynascope
