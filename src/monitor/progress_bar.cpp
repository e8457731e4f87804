// SPDX-License-Identifier: BSD-3-Clause
#include "progress_line.hpp"

#include <dynascope/progress_bar.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>

namespace dynascope {
namespace {

constexpr std::chrono::milliseconds kBetweenDrawings(100);

bool can_draw() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (terminal == nullptr || std::string(terminal) != "dumb");
}

int64_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

class ProgressBar::Impl {
 public:
  Impl(int64_t epochs, int64_t steps_per_epoch) : draws_(can_draw()) {
    progress_.epochs = epochs;
    progress_.steps_per_epoch = steps_per_epoch;
  }

  void begin() {
    begin_ = Clock::now();
    draw();
  }

  void step() {
    ++progress_.steps_done;
    ++progress_.steps_in_epoch;
    if (draws_ && Clock::now() - drawn_ >= kBetweenDrawings) {
      draw();
    }
  }

  void epoch(const Scalars& scalars) {
    ++progress_.epochs_done;
    if (progress_.steps_per_epoch == 0) {
      progress_.steps_per_epoch = progress_.steps_in_epoch;
    }
    progress_.steps_in_epoch = 0;
    progress_.scalars = scalars;
    if (draws_ && Clock::now() - drawn_ >= kBetweenDrawings) {
      draw();
    }
  }

  void end() {
    if (draws_ && !ended_) {
      draw();
      std::fputc('\n', stderr);
    }
    ended_ = true;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void draw() {
    if (!draws_) {
      return;
    }
    drawn_ = Clock::now();
    progress_.seconds = std::chrono::duration<double>(drawn_ - begin_).count();
    // One column stays free: a full line would wrap. "\033[K" clears what an earlier, longer line left.
    const std::string line = "\r" + monitor::progress_line(progress_, terminal_width() - 1) + "\033[K";
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
  }

  const bool draws_;
  bool ended_ = false;
  monitor::Progress progress_;
  Clock::time_point begin_{}, drawn_{};
};

ProgressBar::ProgressBar(int64_t epochs, int64_t steps_per_epoch) {
  if (epochs < 0 || steps_per_epoch < 0) {
    throw std::invalid_argument("ProgressBar needs numbers of 0 or more, got " + std::to_string(epochs) +
                                " epochs of " + std::to_string(steps_per_epoch) + " steps");
  }
  impl_ = std::make_unique<Impl>(epochs, steps_per_epoch);
}

ProgressBar::~ProgressBar() = default;
void ProgressBar::on_train_begin() { impl_->begin(); }
void ProgressBar::on_step_end() { impl_->step(); }
void ProgressBar::on_epoch_end(const Scalars& scalars) { impl_->epoch(scalars); }
void ProgressBar::on_train_end() { impl_->end(); }

}  // namespace dynascope
