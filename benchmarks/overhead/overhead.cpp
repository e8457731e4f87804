// SPDX-License-Identifier: BSD-3-Clause
// What a monitor adds to whole training steps: blocks of steps with a monitor that records, with one that is registered
// but disabled, and with what a user would write, in turns in one process.
//
//   bench_overhead [--models mlp,lenet5,...] [--intervals 1,10,100,epoch,budget] [--seconds S] [--device cpu|cuda]
//
// A block holds at least one row and lasts at least a third of a second; the three kinds of block take turns in an
// order drawn anew each time. A ratio is the mean of the logarithms of (block / the disabled block of the same turn),
// with a 95 % confidence interval by Student's t. A block ends with an epoch end, which asks for a flush: what the
// writer still has to do then (32 rows at most) is done before the next block begins, and is in no block's time. At the
// interval "epoch" that row is the only one, with its histogram; at the others there are no histograms. At "budget"
// every step asks for a row, and a budget of 1 % decides.
#include "eager.hpp"
#include "models.hpp"

#include <dynascope/dynascope.hpp>

#include <CLI/CLI.hpp>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace overhead {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kShortestBlock = 0.3;  // seconds
constexpr size_t kFewestTurns = 5;

/// A folder of its own; gone with its files in the end.
class Folder {
 public:
  Folder() {
    if (::mkdtemp(path_) == nullptr) {
      throw std::runtime_error("cannot make a folder in /tmp");
    }
  }
  ~Folder() {
    for (const std::string& file : files_) {
      std::remove(file.c_str());
    }
    ::rmdir(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string file(const std::string& name) {
    files_.push_back(std::string(path_) + "/" + name);
    return files_.back();
  }

 private:
  char path_[32] = "/tmp/overhead-XXXXXX";
  std::vector<std::string> files_;
};

struct Options {
  std::vector<std::string> models = task_names();
  std::vector<std::string> intervals = {"1", "10", "100", "epoch"};
  double seconds = 30;  ///< per model and interval
  std::string device = "cpu";
};

/// Trains one network; all kinds of block are steps of it.
class Training {
 public:
  Training(Task task, const torch::Device& device)
      : task_(std::move(task)), optimizer_(task_.module->parameters(), 1e-4), device_(device) {}

  void step() {
    optimizer_.zero_grad();
    torch::nn::functional::cross_entropy(task_.forward(task_.data), task_.target).backward();
    optimizer_.step();
  }
  void finish() const {
    if (device_.is_cuda()) {
      torch::cuda::synchronize();
    }
  }
  const Task& task() const { return task_; }

 private:
  Task task_;
  torch::optim::SGD optimizer_;
  torch::Device device_;
};

dynascope::MonitorOptions options_for(const std::string& path, const std::string& interval) {
  dynascope::MonitorOptions options(path);
  if (interval == "budget") {
    options.every_n_steps(1).overhead_budget(0.01).histogram(dynascope::Histogram::kOff);
  } else if (interval != "epoch") {
    options.every_n_steps(std::stoll(interval)).histogram(dynascope::Histogram::kOff);
  }
  return options;
}

void trace_and_begin(dynascope::Monitor& monitor, const Training& training) {
  monitor.trace([&] { return training.task().forward(training.task().data.slice(0, 0, 1)); });
  monitor.on_train_begin();
}

struct Ratio {
  double mean = 1, low = 1, high = 1;
};

/// Of the exponentials of the mean of logarithms.
Ratio ratio_of(const std::vector<double>& logarithms) {
  const auto count = static_cast<double>(logarithms.size());
  double mean = 0, square = 0;
  for (const double value : logarithms) {
    mean += value / count;
  }
  for (const double value : logarithms) {
    square += (value - mean) * (value - mean);
  }
  // Student's t at 97.5 %, good to 1 % from five values on (Cornish and Fisher's expansion).
  const double z = 1.959964, n = count - 1;
  const double t = z + (z * z * z + z) / (4 * n) + (5 * std::pow(z, 5) + 16 * z * z * z + 3 * z) / (96 * n * n) +
                   (3 * std::pow(z, 7) + 19 * std::pow(z, 5) + 17 * z * z * z - 15 * z) / (384 * n * n * n);
  const double half = t * std::sqrt(square / n / count);
  return {std::exp(mean), std::exp(mean - half), std::exp(mean + half)};
}

std::string text(const Ratio& ratio) {
  char buffer[80];
  std::snprintf(buffer, sizeof buffer, "%.4f (%.4f to %.4f)", ratio.mean, ratio.low, ratio.high);
  return buffer;
}

/// One model at one interval.
class Comparison {
 public:
  Comparison(const std::string& model, std::string interval, const torch::Device& device, Folder& folder)
      : interval_(std::move(interval)),
        training_(make_task(model, device), device),
        monitor_(training_.task().module, options_for(folder.file(model + interval_ + ".h5"), interval_)),
        disabled_(make_disabled(folder.file("never.h5"))),
        eager_(*training_.task().module, folder.file(model + interval_ + ".eager.h5")) {
    trace_and_begin(monitor_, training_);
    trace_and_begin(*disabled_, training_);
    for (int i = 0; i < 3; ++i) {
      training_.step();
    }
    training_.finish();
    const auto begin = Clock::now();
    training_.step();
    training_.finish();
    const double once = std::chrono::duration<double>(Clock::now() - begin).count();
    const int64_t rows = interval_ == "budget" || interval_ == "epoch" ? 1 : std::stoll(interval_);
    steps_ = std::max<int64_t>({rows, static_cast<int64_t>(std::ceil(kShortestBlock / once)), 1});
    steps_ = (steps_ + rows - 1) / rows * rows;
  }

  void run(double seconds) {
    std::mt19937 random(20261124);
    std::array<int, 3> order{0, 1, 2};
    run_turn(order);  // warms caches and files
    monitored_.clear();
    eagerly_.clear();
    plain_.clear();
    const auto begin = Clock::now();
    while (plain_.size() < kFewestTurns || std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
      std::shuffle(order.begin(), order.end(), random);
      run_turn(order);
    }
    monitor_.on_train_end();
  }

  /// model, interval, steps per block, turns, ms per step, monitored, eager, cost of a snapshot
  void print(const std::string& model) {
    std::vector<double> plain = plain_;
    std::sort(plain.begin(), plain.end());
    const dynascope::MonitorStatus status = monitor_.status();
    std::printf("%s\t%s\t%ld\t%zu\t%.3f\t%s\t%s\t%.1f\t%ld\n", model.c_str(), interval_.c_str(),
                static_cast<long>(steps_), plain_.size(), 1e3 * plain[plain.size() / 2] / static_cast<double>(steps_),
                text(ratio_of(monitored_)).c_str(), text(ratio_of(eagerly_)).c_str(),
                1e6 * status.snapshot_seconds / static_cast<double>(status.rows_written),
                static_cast<long>(status.rows_written));
    std::fflush(stdout);
    if (status.errors > 0) {
      throw std::runtime_error(status.first_error);
    }
  }

 private:
  std::unique_ptr<dynascope::Monitor> make_disabled(const std::string& path) {
    ::setenv("DYNASCOPE_DISABLE", "1", 1);
    auto monitor = std::make_unique<dynascope::Monitor>(training_.task().module, options_for(path, interval_));
    ::unsetenv("DYNASCOPE_DISABLE");
    return monitor;
  }

  double monitored_block(dynascope::Monitor& monitor) {
    const auto begin = Clock::now();
    for (int64_t step = 0; step < steps_; ++step) {
      training_.step();
      monitor.on_step_end();
    }
    monitor.on_epoch_end();
    training_.finish();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  double eager_block() {
    const int64_t every = interval_ == "epoch" ? steps_ : interval_ == "budget" ? 1 : std::stoll(interval_);
    const auto begin = Clock::now();
    for (int64_t step = 1; step <= steps_; ++step) {
      training_.step();
      if (step % every == 0) {
        eager_.record();
      }
    }
    training_.finish();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  void run_turn(const std::array<int, 3>& order) {
    double monitored = 0, plain = 0, eager = 0;
    for (const int kind : order) {
      if (kind == 0) {
        monitored = monitored_block(monitor_);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      } else if (kind == 1) {
        plain = monitored_block(*disabled_);
      } else {
        eager = eager_block();
      }
    }
    plain_.push_back(plain);
    monitored_.push_back(std::log(monitored / plain));
    eagerly_.push_back(std::log(eager / plain));
  }

  std::string interval_;
  Training training_;
  dynascope::Monitor monitor_;
  std::unique_ptr<dynascope::Monitor> disabled_;
  Eager eager_;
  int64_t steps_ = 1;
  std::vector<double> plain_, monitored_, eagerly_;  // seconds; logarithms of ratios
};

void run_all(const Options& options) {
  const torch::Device device(options.device);
  std::printf("%d threads, %s, at least %.3g s and %zu turns per line\n", torch::get_num_threads(),
              options.device.c_str(), options.seconds, kFewestTurns);
  std::printf("model\tinterval\tsteps a block\tturns\tms a step\tmonitored\teager\tsnapshot, us\trows\n");
  for (const std::string& model : options.models) {
    for (const std::string& interval : options.intervals) {
      torch::manual_seed(1);
      Folder folder;
      Comparison comparison(model, interval, device, folder);
      comparison.run(options.seconds);
      comparison.print(model);
    }
  }
}

}  // namespace
}  // namespace overhead

int main(int argc, char** argv) {
  overhead::Options options;
  CLI::App app("What a monitor adds to whole training steps");
  app.add_option("--models", options.models)->delimiter(',')->check(CLI::IsMember(overhead::task_names()));
  app.add_option("--intervals", options.intervals, "Steps between rows, epoch, or budget")->delimiter(',');
  app.add_option("--seconds", options.seconds, "Per model and interval");
  app.add_option("--device", options.device)->check(CLI::IsMember({"cpu", "cuda"}));
  CLI11_PARSE(app, argc, argv);
  try {
    overhead::run_all(options);
  } catch (const std::exception& error) {
    std::cerr << "bench_overhead: " << error.what() << '\n';
    return 2;
  }
}
