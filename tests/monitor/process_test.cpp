// SPDX-License-Identifier: BSD-3-Clause
// What may happen to a process that trains: forks, exceptions, an exit while the disk is stuck, several runs at once.
#include "nets.hpp"
#include "support/long_tests.hpp"

#include <dynascope/run_file.hpp>
#include <dynascope/validate.hpp>

#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <random>
#include <sched.h>
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

int processors_of(pid_t thread) {
  cpu_set_t allowed;
  return ::sched_getaffinity(thread, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : -1;
}

// The first two processors of this process, as OpenMP wants to be told: by itself it looks for /sys.
std::string two_places() {
  cpu_set_t allowed;
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  std::string places;
  for (int processor = 0, found = 0; processor < CPU_SETSIZE && found < 2; ++processor) {
    if (CPU_ISSET(processor, &allowed)) {
      places += (found++ == 0 ? "{" : ",{") + std::to_string(processor) + "}";
    }
  }
  return places;
}

pid_t thread_named(const std::string& name) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string comm;
    std::getline(std::ifstream(task.path() / "comm"), comm);
    if (comm == name) {
      return std::stoi(task.path().filename());
    }
  }
  return -1;
}

// With OMP_PROC_BIND the writer shared the one processor of the thread that trains, and its work delayed steps.
TEST_F(ProcessTest, TheWriterIsNotBoundToTheProcessorOfTheThreadThatTrains) {
  if (std::getenv("OMP_PROC_BIND") == nullptr) {  // read when the process starts
    if (processors_of(0) < 2) {
      GTEST_SKIP() << "one processor only";
    }
    const std::string places = two_places();
    EXPECT_EQ(in_child([&] {
                ::setenv("OMP_PROC_BIND", "close", 1);
                ::setenv("OMP_PLACES", places.c_str(), 1);
                ::execl("/proc/self/exe", "monitor", "--gtest_filter=*TheWriterIsNotBound*", nullptr);
                std::_Exit(127);
              }),
              0);
    return;
  }
  Net net = make_net();
  Monitor monitor(net, MonitorOptions(path_).overwrite(true));
  traced(monitor, net).on_train_begin();
  ASSERT_EQ(processors_of(0), 1);
  const auto writer_is_free = [] { return processors_of(thread_named("dynascope")) >= 2; };
  for (int turn = 0; turn < 500 && !writer_is_free(); ++turn) {
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_TRUE(writer_is_free());
  monitor.on_train_end();
}

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

TEST_F(ProcessTest, ASignalHandlerThatCallsExitLeavesAFinishedFile) {
  const int status = in_child([&] {
    std::signal(SIGTERM, [](int /*signal*/) { std::exit(9); });
    Net net = make_net();
    Monitor monitor(net, MonitorOptions(path_).every_n_steps(1).scalars({"loss"}));
    train(net, &traced(monitor, net), 5, [](Net& /*net*/, int64_t step) {
      if (step == 11) {
        ::raise(SIGTERM);
      }
    });
  });
  EXPECT_EQ(status, 9);
  EXPECT_FALSE(RunFile(path_).in_progress());
  EXPECT_EQ(RunFile(path_).rows(), 11);
  expect_valid(path_);
}

/// What a program may do with HDF5 beside its training: files of its own, and errors that it expects and prints.
class OwnWork {
 public:
  explicit OwnWork(std::string path) : path_(std::move(path)) {
    H5Eset_auto2(
        H5E_DEFAULT, [](hid_t /*stack*/, void* count) -> herr_t { return ++*static_cast<int*>(count), 0; }, &printed_);
  }

  /// Writes a file, reads it back and provokes one error. @return whether all of that went as it does alone
  bool once(int turn) {
    std::vector<int> values(1000);
    std::iota(values.begin(), values.end(), turn);
    const hsize_t size = values.size();
    const hid_t file = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t space = H5Screate_simple(1, &size, nullptr);
    const hid_t data = H5Dcreate2(file, "data", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool good = H5Dwrite(data, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0;
    const int before = printed_;
    good = H5Dopen2(file, "missing", H5P_DEFAULT) < 0 && printed_ == before + 1 && good;
    good = H5Dclose(data) >= 0 && H5Sclose(space) >= 0 && H5Fclose(file) >= 0 && good;
    const hid_t again = H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t found = H5Dopen2(again, "data", H5P_DEFAULT);
    std::vector<int> read(values.size());
    good = H5Dread(found, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()) >= 0 && read == values && good;
    return H5Dclose(found) >= 0 && H5Fclose(again) >= 0 && good;
  }

 private:
  const std::string path_;
  int printed_ = 0;
};

TEST_F(ProcessTest, TheProgramsOwnHdf5WorkOnAnotherThreadGoesOn) {
  hbool_t safe = false;
  ASSERT_GE(H5is_library_threadsafe(&safe), 0);
  if (!safe) {
    GTEST_SKIP() << "this HDF5 library is not thread-safe";
  }
  const std::string own = path_ + ".own";
  std::atomic<bool> training{true};
  std::atomic<int> turns{0};
  int failures = 0;
  std::thread other([&] {
    OwnWork work(own);
    while (training || turns == 0) {
      failures += work.once(turns++) ? 0 : 1;
    }
  });
  Net net = make_net();
  {
    Monitor monitor(net, MonitorOptions(path_).overwrite(true).every_n_steps(1).scalars({"loss"}).buffered_rows(2));
    train(net, &traced(monitor, net), 100);
    EXPECT_EQ(monitor.status().first_error, "");
  }
  training = false;
  other.join();
  EXPECT_GT(turns, 10);
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(RunFile(path_).rows(), 401);
  expect_valid(path_);
  std::filesystem::remove(own);
}

// tests/faults kills the writer alone, without LibTorch and therefore often; this is the whole of it.
TEST_F(ProcessTest, AKilledTrainingLeavesEveryRowThatWasReportedWrittenBitForBit) {
  const int kills = test::long_tests() ? 100 : 8;
  constexpr unsigned kSeed = 20261124;
  std::mt19937 chance(kSeed);
  int64_t most = 0;
  const auto options = [](const std::string& path) {
    return MonitorOptions(path).overwrite(true).every_n_steps(1).scalars({"loss"}).buffered_rows(4);
  };
  const std::string whole_path = path_ + ".whole";
  {
    Net net = make_net();
    Monitor monitor(net, options(whole_path));
    train(net, &traced(monitor, net), 200);
  }
  const RunFile whole(whole_path);
  for (int turn = 0; turn < kills; ++turn) {
    int written[2];
    ASSERT_EQ(::pipe(written), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Net net = make_net();
      Monitor monitor(net, options(path_));
      train(net, &traced(monitor, net), 1'000'000, [&](Net& /*net*/, int64_t /*step*/) {
        const int64_t rows = monitor.status().rows_written;
        static_cast<void>(!::write(written[1], &rows, sizeof(rows)));
      });
      ::_exit(0);
    }
    ::close(written[1]);
    int64_t rows = 0;
    ASSERT_EQ(::read(written[0], &rows, sizeof(rows)), static_cast<ssize_t>(sizeof(rows)));
    const auto killed_at = std::chrono::steady_clock::now() + std::chrono::microseconds(chance() % 100'000);
    while (std::chrono::steady_clock::now() < killed_at) {
      ASSERT_EQ(::read(written[0], &rows, sizeof(rows)), static_cast<ssize_t>(sizeof(rows)));
    }
    ::kill(child, SIGKILL);
    while (::read(written[0], &rows, sizeof(rows)) > 0) {
    }
    ::close(written[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    const RunFile file(path_);
    ASSERT_GE(file.rows(), rows) << "seed " << kSeed << ", turn " << turn;
    const int64_t shared = std::min(file.rows(), whole.rows());
    const RowLayout layout(file.description());
    for (const Span& span : layout.spans()) {
      const auto found = file.read(span.path, 0, shared);
      const auto expected = whole.read(span.path, 0, shared);
      ASSERT_EQ(found.size(), expected.size()) << span.path;
      ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(double)), 0)
          << span.path << ", seed " << kSeed << ", turn " << turn;
    }
    expect_valid(path_);
    most = std::max(most, rows);
  }
  EXPECT_GT(most, 10);
  std::filesystem::remove(whole_path);
  std::cout << kills << " kills, seed " << kSeed << ", up to " << most << " rows\n";
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
