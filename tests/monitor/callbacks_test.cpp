// SPDX-License-Identifier: BSD-3-Clause
#include "monitor/progress_line.hpp"

#include <dynascope/callback_list.hpp>
#include <dynascope/progress_bar.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <pty.h>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>

namespace dynascope {
namespace {

class Noting final : public TrainingCallback {
 public:
  Noting(std::string name, std::string& notes) : name_(std::move(name)), notes_(notes) {}
  using TrainingCallback::on_epoch_end;
  void on_train_begin() override { note("begin"); }
  void on_epoch_begin() override { note("epoch"); }
  void on_step_end() override { note("step"); }
  void on_epoch_end(const Scalars& scalars) override { note("end" + std::to_string(scalars.size())); }
  void on_train_end() override { note("done"); }

 private:
  void note(const std::string& what) { notes_ += name_ + what + " "; }
  std::string name_;
  std::string& notes_;
};

TEST(CallbackList, EveryEventGoesToAllInOrderAndTheLastInReverse) {
  std::string notes;
  Noting referenced("a:", notes);
  CallbackList list({std::make_shared<Noting>("b:", notes)});
  list.add(referenced);
  list.on_train_begin();
  list.on_epoch_begin();
  list.on_step_end();
  list.on_epoch_end();
  list.on_epoch_end({{"loss", 1.0}});
  list.on_train_end();
  EXPECT_EQ(notes, "b:begin a:begin b:epoch a:epoch b:step a:step b:end0 a:end0 b:end1 a:end1 a:done b:done ");
}

TEST(CallbackList, RefusesNothingAsACallback) {
  CallbackList list;
  EXPECT_THROW(list.add(nullptr), std::invalid_argument);
  EXPECT_THROW(CallbackList({nullptr}), std::invalid_argument);
}

TEST(CallbackList, KeepsOnlyWhatItWasGivenToKeep) {
  std::string notes;
  auto kept = std::make_shared<Noting>("", notes);
  Noting referenced("", notes);
  {
    CallbackList list({kept});
    list.add(referenced);
    EXPECT_EQ(kept.use_count(), 2);
  }
  EXPECT_EQ(kept.use_count(), 1);
  referenced.on_step_end();
  EXPECT_EQ(notes, "step ");
}

TEST(ProgressLine, ShowsRateAndTimeLeft) {
  monitor::Progress progress;
  progress.epochs = 4;
  progress.steps_per_epoch = 10;
  progress.epochs_done = 1;
  progress.steps_done = 20;
  progress.steps_in_epoch = 10;
  progress.seconds = 80;
  progress.scalars = {{"loss", 0.25}};
  EXPECT_EQ(monitor::progress_line(progress, 200),
            "epoch 1/4 [##########..........] step 10/10, 0.25 steps/s, 1:20 left, loss 0.25");
  EXPECT_EQ(monitor::progress_line(progress, 9), "epoch 1/4");
}

TEST(ProgressLine, LoopsThatTellOfNoStepsShowNone) {
  monitor::Progress progress;
  progress.epochs = 4;
  progress.epochs_done = 2;
  progress.seconds = 80;
  EXPECT_EQ(monitor::progress_line(progress, 200), "epoch 2/4 [##########..........], 1:20 left");
}

TEST(ProgressLine, UnknownTotalsShowNoBar) {
  monitor::Progress progress;
  progress.steps_in_epoch = progress.steps_done = 7;
  EXPECT_EQ(monitor::progress_line(progress, 80), "epoch 0 step 7");
  progress.epochs = 2;
  EXPECT_EQ(monitor::progress_line(progress, 80), "epoch 0/2 [....................] step 7");
  progress.epochs_done = 2;
  progress.seconds = 3723;
  EXPECT_NE(monitor::progress_line(progress, 200).find("1:02:03 in all"), std::string::npos);
}

/// Lends stderr to the test.
class StderrTo {
 public:
  explicit StderrTo(int target) : saved_(dup(STDERR_FILENO)) {
    std::fflush(stderr);
    dup2(target, STDERR_FILENO);
  }
  ~StderrTo() {
    std::fflush(stderr);
    dup2(saved_, STDERR_FILENO);
    close(saved_);
  }

 private:
  int saved_;
};

std::string drawn(int target, int reader) {
  {
    const StderrTo here(target);
    ProgressBar bar(3, 1000);
    bar.on_train_begin();
    for (int epoch = 0; epoch < 3; ++epoch) {
      for (int step = 0; step < 1000; ++step) {
        bar.on_step_end();
      }
      bar.on_epoch_end({{"loss", 0.5}});
    }
    bar.on_train_end();
    bar.on_train_end();
  }
  fcntl(reader, F_SETFL, O_NONBLOCK);
  std::string all;
  char piece[4096];
  for (ssize_t size = 0; (size = read(reader, piece, sizeof(piece))) > 0;) {
    all.append(piece, static_cast<size_t>(size));
  }
  return all;
}

TEST(ProgressBar, DrawsOnATerminalButRarely) {
  int controller = -1, terminal = -1;
  const winsize size{24, 120, 0, 0};
  ASSERT_EQ(openpty(&controller, &terminal, nullptr, nullptr, &size), 0);
  setenv("TERM", "xterm", 1);
  const std::string text = drawn(terminal, controller);
  close(controller);
  close(terminal);
  EXPECT_NE(text.find("epoch 0/3"), std::string::npos);
  EXPECT_NE(text.find("epoch 3/3 [####################]"), std::string::npos);
  EXPECT_NE(text.find("loss 0.5"), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  // 3,000 steps take a few milliseconds: the first and the last drawing, and one more where the machine is slow.
  EXPECT_LE(std::count(text.begin(), text.end(), '\033'), 20);
}

TEST(ProgressBar, IsSilentInAPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(drawn(ends[1], ends[0]), "");
  close(ends[0]);
  close(ends[1]);
}

TEST(ProgressBar, RefusesNegativeNumbers) {
  EXPECT_THROW(ProgressBar(-1), std::invalid_argument);
  EXPECT_THROW(ProgressBar(1, -1), std::invalid_argument);
}

}  // namespace
}  // namespace dynascope
