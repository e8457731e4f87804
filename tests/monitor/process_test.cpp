// SPDX-License-Identifier: BSD-3-Clause
// What may happen to a process that trains: forks, exceptions, an exit while the disk is stuck, several runs at once.
#include "nets.hpp"

#include <dynascope/run_file.hpp>
#include <dynascope/validate.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace dynascope {
namespace {

using namespace std::chrono_literals;

class ProcessTest : public ::testing::Test {
 protected:
  ~ProcessTest() override { std::filesystem::remove(path_); }

  static Monitor& traced(Monitor& monitor, Net& net) {
    monitor.trace([&] { return net->forward(example()); });
    return monitor;
  }
  static void expect_valid(const std::string& path) {
    for (const Violation& violation : validate(path)) {
      ADD_FAILURE() << violation.object << ": " << violation.message;
    }
  }
  /// Exit status of a child that runs `body`, or -1000 where it had not ended after ten seconds.
  template <typename Body>
  static int in_child(const Body& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      std::exit(0);
    }
    int status = 0;
    for (int tenth = 0; tenth < 100; ++tenth) {
      if (::waitpid(child, &status, WNOHANG) == child) {
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      }
      std::this_thread::sleep_for(100ms);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return -1000;
  }

  std::string path_ = ::testing::TempDir() + "dynascope-process-" + std::to_string(::getpid()) + ".h5";
};

// A child used to write the parent's file when it exited, and to hang where the writer's thread had held a lock.
TEST_F(ProcessTest, AForkedChildIsNoPartOfTheRun) {
  Net net = make_net();
  Monitor monitor(net, MonitorOptions(path_).overwrite(true).every_n_steps(1).scalars({"loss"}));
  traced(monitor, net);
  int children = 0;
  train(net, &monitor, 10, [&](Net& now, int64_t step) {
    if (step % 3 != 0) {
      return;
    }
    ++children;
    const int status = in_child([&] {
      monitor.on_step_end();
      monitor.on_epoch_end({{"loss", 1}});
      monitor.log("loss", 2);
      const bool silent = monitor.status().rows_written == 0;
      if (step % 2 == 0) {
        monitor.on_train_end();
      }
      static_cast<void>(now);
      std::exit(silent ? 7 : 8);  // with HDF5's exit handlers
    });
    EXPECT_EQ(status, 7) << "step " << step;
  });
  EXPECT_EQ(children, 13);
  EXPECT_EQ(monitor.status().first_error, "");
  EXPECT_EQ(RunFile(path_).rows(), 41);
  expect_valid(path_);
}

TEST_F(ProcessTest, AForkedChildThatDestroysTheMonitorDoesNotHang) {
  Net net = make_net();
  auto monitor = std::make_unique<Monitor>(net, MonitorOptions(path_).overwrite(true));
  traced(*monitor, net).on_train_begin();
  EXPECT_EQ(in_child([&] { monitor.reset(); }), 0);
  monitor.reset();
  EXPECT_EQ(RunFile(path_).rows(), 1);
  expect_valid(path_);
}

TEST_F(ProcessTest, AChildThatOutlivesItsParentDoesNotPassForTheWriter) {
  const pid_t parent = ::fork();
  int alive[2];
  ASSERT_EQ(::pipe(alive), 0);
  if (parent == 0) {
    Net net = make_net();
    Monitor monitor(net, MonitorOptions(path_).overwrite(true));
    traced(monitor, net).on_train_begin();
    std::this_thread::sleep_for(300ms);
    if (::fork() == 0) {
      ::sleep(3);
      ::_exit(0);
    }
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(parent, &status, 0);
  EXPECT_TRUE(RunFile(path_).in_progress());
  EXPECT_FALSE(RunFile(path_).has_writer());
}

TEST_F(ProcessTest, AnExceptionInTheLoopLeavesAFinishedFile) {
  Net net = make_net();
  try {
    Monitor monitor(net, MonitorOptions(path_).overwrite(true).every_n_steps(1).scalars({"loss"}));
    train(net, &traced(monitor, net), 3, [](Net& /*net*/, int64_t step) {
      if (step == 7) {
        throw std::runtime_error("out of memory");
      }
    });
    FAIL();
  } catch (const std::runtime_error&) {
  }
  EXPECT_FALSE(RunFile(path_).in_progress());
  EXPECT_EQ(RunFile(path_).rows(), 7);
  expect_valid(path_);
}

TEST_F(ProcessTest, TwoMonitorsRecordTwoRuns) {
  const std::string second = path_ + ".second";
  {
    Net net = make_net();
    CallbackList both;
    auto a = std::make_shared<Monitor>(net, MonitorOptions(path_).overwrite(true).every_n_steps(1).scalars({"loss"}));
    auto b = std::make_shared<Monitor>(net, MonitorOptions(second).overwrite(true).scalars({"loss"}));
    traced(*a, net);
    traced(*b, net);
    both.add(a);
    both.add(b);
    train(net, &both, 5);
  }
  EXPECT_EQ(RunFile(path_).rows(), 21);
  EXPECT_EQ(RunFile(second).rows(), 6);
  expect_valid(path_);
  expect_valid(second);
  std::filesystem::remove(second);
}

/// Takes rows for ever once it is stuck, as a disk does whose server is gone.
class StuckSink final : public Sink {
 public:
  void open(const RunDescription& /*description*/, const RowLayout& /*layout*/) override {}
  void write(const std::vector<Row>& /*rows*/) override {
    while (stuck) {
      std::this_thread::sleep_for(10ms);
    }
  }
  std::atomic<bool> stuck{true};
};

TEST_F(ProcessTest, AStuckSinkHoldsUpTheEndForFiveSecondsAtMost) {
  const auto record = [&] {
    Net net = make_net();
    const auto sink = std::make_shared<StuckSink>();
    auto* monitor = new Monitor(net, into(sink).when_full(WhenFull::kDrop).every_n_steps(1).buffered_rows(4));
    traced(*monitor, net).on_train_begin();
    for (int step = 0; step < 100; ++step) {
      monitor->on_step_end();
    }
    if (monitor->status().rows_dropped < 90) {
      std::_Exit(1);
    }
    std::exit(5);
  };
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(in_child(record), 5);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 8s);
}

}  // namespace
}  // namespace dynascope
