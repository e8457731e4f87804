// SPDX-License-Identifier: BSD-3-Clause
// What a row costs on the CPU, beside what a user would write and beside reading the weights once.
//
//   row    Monitor::on_step_end with a row every step and a sink that does nothing, histogram off and on
//   eager  per weight: w.sum(1), w.sum(0), w.std(), w.min(), w.max()
//   read   per weight: w.sum()
//
// All four run in turn in one process; the table gives medians and the ratios to them, with the middle half of the
// ratios of neighbouring runs. The weights are warm where they fit into the cache.
#include <dynascope/dynascope.hpp>

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

using dynascope::MonitorOptions;
using torch::Tensor;
namespace nn = torch::nn;

class NoSink final : public dynascope::Sink {
 public:
  void open(const dynascope::RunDescription& /*description*/, const dynascope::RowLayout& /*layout*/) override {}
  void write(const std::vector<dynascope::Row>& /*rows*/) override {}
};

nn::Sequential mlp() {
  return nn::Sequential(nn::Linear(784, 200), nn::ReLU(), nn::Linear(200, 100), nn::ReLU(), nn::Linear(100, 10));
}

nn::Sequential lenet() {
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(1, 6, 5).padding(2)), nn::ReLU(), nn::MaxPool2d(2),
                        nn::Conv2d(6, 16, 5), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(400, 120),
                        nn::ReLU(), nn::Linear(120, 84), nn::ReLU(), nn::Linear(84, 10));
}

struct Workload {
  std::string name;
  nn::Sequential model;
  Tensor example;
};

std::vector<Workload> workloads() {
  return {{"Linear 27 -> 64", nn::Sequential(nn::Linear(27, 64)), torch::randn({1, 27})},
          {"MLP 784-200-100-10", mlp(), torch::randn({1, 784})},
          {"LeNet-5", lenet(), torch::randn({1, 1, 28, 28})},
          {"Linear 1536 -> 1536 (9 MB)", nn::Sequential(nn::Linear(1536, 1536)), torch::randn({1, 1536})},
          {"Conv2d 512 -> 512, 3x3 (9 MB)", nn::Sequential(nn::Conv2d(nn::Conv2dOptions(512, 512, 3).padding(1))),
           torch::randn({1, 512, 8, 8})},
          {"Linear 4096 -> 4096 (67 MB)", nn::Sequential(nn::Linear(4096, 4096)), torch::randn({1, 4096})}};
}

double seconds_of(const std::function<void()>& body, int repeats) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < repeats; ++i) {
    body();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / repeats;
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

std::unique_ptr<dynascope::Monitor> monitor_of(const Workload& load, dynascope::Histogram histogram) {
  auto monitor = std::make_unique<dynascope::Monitor>(
      load.model, MonitorOptions().every_n_steps(1).histogram(histogram).sink(std::make_shared<NoSink>()));
  monitor->trace([&] { return nn::Sequential(load.model)->forward(load.example); });
  monitor->on_train_begin();
  return monitor;
}

void measure(const Workload& load, int samples) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> weights;
  for (const auto& parameter : load.model->named_parameters()) {
    if (parameter.value().dim() > 1) {
      weights.push_back(parameter.value().flatten(1));
    }
  }
  const auto plain = monitor_of(load, dynascope::Histogram::kOff);
  const auto with_histogram = monitor_of(load, dynascope::Histogram::kEveryRow);
  const std::vector<std::function<void()>> bodies = {[&] { plain->on_step_end(); },
                                                     [&] { with_histogram->on_step_end(); },
                                                     [&] {
                                                       for (const Tensor& w : weights) {
                                                         w.sum(1), w.sum(0), w.std(), w.min(), w.max();
                                                       }
                                                     },
                                                     [&] {
                                                       for (const Tensor& w : weights) {
                                                         w.sum();
                                                       }
                                                     }};
  std::vector<std::vector<double>> times(bodies.size());
  const int repeats = std::max(1, static_cast<int>(2e-3 / seconds_of(bodies[2], 3)));
  for (int sample = 0; sample < samples; ++sample) {
    for (size_t i = 0; i < bodies.size(); ++i) {
      times[i].push_back(seconds_of(bodies[i], repeats));
    }
  }
  std::vector<double> to_eager, to_read, histogram_to_eager;
  for (size_t i = 0; i < times[0].size(); ++i) {
    to_eager.push_back(times[2][i] / times[0][i]);
    to_read.push_back(times[3][i] / times[0][i]);
    histogram_to_eager.push_back(times[2][i] / times[1][i]);
  }
  std::printf("| %-29s | %9.1f | %9.1f | %9.1f | %6.2f (%.2f to %.2f) | %5.2f (%.2f to %.2f) | %6.2f |\n",
              load.name.c_str(), 1e6 * quantile(times[0], 0.5), 1e6 * quantile(times[2], 0.5),
              1e6 * quantile(times[3], 0.5), quantile(to_eager, 0.5), quantile(to_eager, 0.25),
              quantile(to_eager, 0.75), quantile(to_read, 0.5), quantile(to_read, 0.25), quantile(to_read, 0.75),
              quantile(histogram_to_eager, 0.5));
}

}  // namespace

int main(int argc, char** argv) {
  const int samples = argc > 1 ? std::atoi(argv[1]) : 51;
  if (samples < 1) {
    std::fprintf(stderr, "dynascope-bench: the number of samples must be at least 1, got %s\n", argv[1]);
    return 2;
  }
  torch::manual_seed(1);
  std::printf("dynascope %s, LibTorch %s, float32, %d threads, %d samples of each\n\n", DYNASCOPE_VERSION,
              TORCH_VERSION, at::get_num_threads(), samples);
  std::printf("| weights | row, us | eager, us | read, us | eager / row | read / row | eager / row with histogram |\n");
  std::printf("|---|---|---|---|---|---|---|\n");
  for (const Workload& load : workloads()) {
    measure(load, samples);
  }
}
