// SPDX-License-Identifier: BSD-3-Clause
// A run that goes on from a checkpoint writes the rows that it would have written without a break.
#include "nets.hpp"

#include <dynascope/run_file.hpp>
#include <dynascope/validate.hpp>

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace dynascope {
namespace {

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() {
    std::string pattern = ::testing::TempDir() + "dynascope-resume-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ + "/run.h5";
    whole_ = folder_ + "/whole.h5";
    checkpoint_ = folder_ + "/checkpoint.pt";
  }
  ~ResumeTest() override {
    // Not remove_all: LibTorch exports one of its own that crashes.
    for (const std::string& path : {path_, whole_, checkpoint_}) {
      std::filesystem::remove(path);
    }
    EXPECT_EQ(::rmdir(folder_.c_str()), 0) << "something was left in " << folder_;
  }

  static MonitorOptions options(const std::string& path, int64_t every_n_steps = 1) {
    return MonitorOptions(path).every_n_steps(every_n_steps).components(true).scalars({"loss", "note"});
  }

  /// Steps `first` to `last` of a training with 4 steps an epoch; a checkpoint is the net itself.
  static void steps(Net& net, Monitor& monitor, int64_t first, int64_t last) {
    for (int64_t step = first; step <= last; ++step) {
      const at::Tensor loss = net->forward(example() * static_cast<double>(step % 4 + 1)).square().mean();
      loss.backward();
      {
        const torch::NoGradGuard no_grad;
        for (auto& parameter : net->parameters()) {
          parameter.sub_(parameter.grad(), 0.05);
          parameter.mutable_grad() = at::Tensor();
        }
      }
      if (step % 3 == 0) {
        monitor.log("note", static_cast<double>(step));
      }
      monitor.on_step_end();
      if (step % 4 == 0) {
        monitor.on_epoch_end({{"loss", loss.item<double>()}});
      }
    }
  }

  static Monitor& traced(Monitor& monitor, Net& net) {
    monitor.trace([&] { return net->forward(example()); });
    return monitor;
  }

  void write_whole(int64_t last, int64_t every_n_steps = 1) {
    Net net = make_net();
    Monitor monitor(net, options(whole_, every_n_steps));
    traced(monitor, net).on_train_begin();
    steps(net, monitor, 1, last);
    monitor.on_train_end();
    ASSERT_EQ(monitor.status().first_error, "");
  }

  /// Everything but /time and /cost is the same, bit for bit, and no rule is broken.
  void expect_same_as_whole(int64_t rows_kept) {
    const RunFile a(whole_);
    const RunFile b(path_);
    const RunRows x = a.row_index();
    const RunRows y = b.row_index();
    EXPECT_EQ(x.step, y.step);
    EXPECT_EQ(x.epoch, y.epoch);
    EXPECT_EQ(x.epoch_end, y.epoch_end);
    ASSERT_EQ(a.rows(), b.rows());
    for (const std::string& key : a.description().scalars) {
      expect_same(a.scalar(key), b.scalar(key), key);
    }
    EXPECT_EQ(a.description().histogram_edges, b.description().histogram_edges);
    const RowLayout layout(a.description());
    for (const Span& span : layout.spans()) {
      expect_same(a.read(span.path, 0, a.rows()), b.read(span.path, 0, b.rows()), span.path);
    }
    for (const Violation& violation : validate(path_)) {
      ADD_FAILURE() << violation.object << ": " << violation.message;
    }
    const auto events = b.events();
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events.back().code, EventCode::kResumed);
    EXPECT_EQ(events.back().value, static_cast<double>(rows_kept));
    EXPECT_EQ(std::count(b.provenance().history.begin(), b.provenance().history.end(), '\n'), 1);
  }

  static void expect_same(const std::vector<double>& a, const std::vector<double>& b, const std::string& what) {
    ASSERT_EQ(a.size(), b.size()) << what;
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(double)), 0) << what;
  }

  template <typename Call>
  static std::string error_of(const Call& call) {
    try {
      call();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }

  std::string folder_, path_, whole_, checkpoint_;
};

TEST_F(ResumeTest, RowsAfterTheStepAreWrittenAnewAndTheFileEqualsTheUninterruptedOne) {
  for (const int64_t at : {4, 6, 8, 11}) {
    SCOPED_TRACE("resumed at step " + std::to_string(at));
    std::filesystem::remove(path_);
    std::filesystem::remove(whole_);
    write_whole(16);
    Net net = make_net();
    Net checkpoint = make_net();
    std::string run_id;
    {
      Monitor monitor(net, options(path_));
      traced(monitor, net).on_train_begin();
      steps(net, monitor, 1, at);
      const torch::NoGradGuard no_grad;
      for (size_t i = 0; i < net->parameters().size(); ++i) {
        checkpoint->parameters()[i].copy_(net->parameters()[i]);
      }
      const torch::AutoGradMode grad(true);
      steps(net, monitor, at + 1, 13);
    }
    run_id = RunFile(path_).provenance().run_id;
    Monitor monitor(checkpoint, options(path_).resume(at));
    traced(monitor, checkpoint).on_train_begin();
    EXPECT_EQ(monitor.status().rows_written, at + 1);
    steps(checkpoint, monitor, at + 1, 16);
    monitor.on_train_end();
    EXPECT_EQ(monitor.status().first_error, "");
    EXPECT_EQ(monitor.status().rows_written, 17);
    EXPECT_EQ(RunFile(path_).provenance().run_id, run_id);
    expect_same_as_whole(at + 1);
  }
}

TEST_F(ResumeTest, AKilledRunGoesOnFromACheckpointOfTheMonitor) {
  write_whole(16, 2);
  const pid_t child = ::fork();
  if (child == 0) {
    Net net = make_net();
    Monitor monitor(net, options(path_, 2));
    traced(monitor, net).on_train_begin();
    steps(net, monitor, 1, 7);
    torch::serialize::OutputArchive archive;
    net->save(archive);
    monitor.save(archive);
    archive.save_to(checkpoint_);
    steps(net, monitor, 8, 9);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  Net net = make_net();
  Monitor monitor(net, options(path_, 2));
  torch::serialize::InputArchive archive;
  archive.load_from(checkpoint_);
  net->load(archive);
  monitor.load(archive);
  traced(monitor, net).on_train_begin();
  steps(net, monitor, 8, 16);
  monitor.on_train_end();
  EXPECT_EQ(monitor.status().first_error, "");
  expect_same_as_whole(4);
}

// The epoch end at the checkpoint's own step is still to come, or has been: only the checkpoint knows.
TEST_F(ResumeTest, ACheckpointBetweenAStepAndItsEpochEndClosesTheEpochOnce) {
  write_whole(8);
  Net net = make_net();
  std::stringstream saved;
  {
    Monitor monitor(net, options(path_));
    traced(monitor, net).on_train_begin();
    steps(net, monitor, 1, 3);
    const at::Tensor loss = net->forward(example()).square().mean();
    loss.backward();
    const torch::NoGradGuard no_grad;
    for (auto& parameter : net->parameters()) {
      parameter.sub_(parameter.grad(), 0.05);
      parameter.mutable_grad() = at::Tensor();
    }
    monitor.on_step_end();
    torch::serialize::OutputArchive archive;
    monitor.save(archive);
    archive.save_to(saved);
    monitor.on_epoch_end({{"loss", loss.item<double>()}});
  }
  Monitor monitor(net, options(path_));
  torch::serialize::InputArchive archive;
  archive.load_from(saved);
  monitor.load(archive);
  traced(monitor, net).on_train_begin();
  const double loss = RunFile(whole_).scalar("loss")[4];
  monitor.on_epoch_end({{"loss", loss}});
  steps(net, monitor, 5, 8);
  monitor.on_train_end();
  expect_same_as_whole(4);
}

TEST_F(ResumeTest, AnotherRunIsRefusedAndTheFileStaysAsItIs) {
  write_whole(8);
  const auto size = std::filesystem::file_size(whole_);
  Net net = make_net();
  const auto refused = [&](MonitorOptions wanted, const std::string& why) {
    Monitor monitor(net, std::move(wanted));
    traced(monitor, net);
    const std::string error = error_of([&] { monitor.on_train_begin(); });
    EXPECT_NE(error.find(why), std::string::npos) << error;
    EXPECT_NE(error.find("whole.h5"), std::string::npos) << error;
  };
  refused(options(whole_).resume(4).bias(Bias::kNone),
          "entries of weight layer 'fc1.weight' is 25 in the file and 20 n");
  refused(options(whole_).resume(4).boundary(Boundary::kZero), "option boundary is 'one' in the file and 'zero' now");
  refused(options(whole_).resume(4).components(false), "option components is yes in the file and no now");
  refused(options(whole_).resume(4).histogram(Histogram::kOff),
          "option histogram is 'epoch-ends' in the file and 'off'");
  refused(options(whole_).resume(4).histogram_bins(7), "option histogram_bins is 128 in the file and 7 now");
  refused(options(whole_).resume(4).scalars({"loss"}),
          "option scalars is ['loss', 'note'] in the file and ['loss'] now");
  refused(options(whole_).resume(4).record_parameters(true),
          "the number of recorded parameters is 0 in the file and 4");
  refused(options(whole_).resume(4).exclude("fc2"), "the number of node layers");
  torch::nn::Sequential other(torch::nn::Linear(4, 5), torch::nn::ReLU(), torch::nn::Linear(5, 3));
  Monitor monitor(other, options(whole_).resume(4));
  EXPECT_NE(
      error_of([&] { monitor.on_train_begin(); }).find("the name of node layer 1 is 'fc1' in the file and '0' now"),
      std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(whole_), size);
  EXPECT_EQ(RunFile(whole_).rows(), 9);
}

TEST_F(ResumeTest, NothingToResumeIsAClearError) {
  Net net = make_net();
  const auto error = [&](MonitorOptions wanted) {
    Monitor monitor(net, std::move(wanted));
    traced(monitor, net);
    return error_of([&] { monitor.on_train_begin(); });
  };
  EXPECT_NE(error(options(path_).resume(4)).find("No such file"), std::string::npos);
  Monitor writing(net, options(path_));
  traced(writing, net).on_train_begin();
  steps(net, writing, 1, 4);
  torch::serialize::OutputArchive archive;
  writing.save(archive);  // flushes
  EXPECT_NE(error(options(path_).resume(4)).find("another process still writes"), std::string::npos);
  writing.on_train_end();
  EXPECT_THROW(Monitor(net, options(path_).resume(4).overwrite(true)), std::invalid_argument);
  EXPECT_THROW(Monitor(net, options(path_).resume(-2)), std::invalid_argument);
}

// What was not flushed when the run was killed is missing, and said to be.
TEST_F(ResumeTest, RowsThatWereNeverFlushedAreTold) {
  Net net = make_net();
  {
    Monitor monitor(net, options(path_));
    traced(monitor, net).on_train_begin();
    steps(net, monitor, 1, 4);
  }
  Monitor monitor(net, options(path_).resume(10));
  traced(monitor, net).on_train_begin();
  monitor.on_train_end();
  const RunFile file(path_);
  EXPECT_EQ(file.row_index().step, (std::vector<int64_t>{0, 1, 2, 3, 4, 10}));
  ASSERT_EQ(file.events().size(), 1u);
  EXPECT_NE(file.events()[0].message.find("5 rows after step 4 are missing"), std::string::npos);
}

TEST_F(ResumeTest, ReadersOfTheOldFileKeepIt) {
  write_whole(8);
  const RunFile before(whole_);
  Net net = make_net();
  Monitor monitor(net, options(whole_).resume(4));
  traced(monitor, net).on_train_begin();
  EXPECT_EQ(before.rows(), 9);
  EXPECT_EQ(before.read("/nodes/fluctuation", 8, 1).size(), 3u);
  EXPECT_EQ(RunFile(whole_).rows(), 5);
  EXPECT_TRUE(RunFile(whole_).has_writer());
}

}  // namespace
}  // namespace dynascope
