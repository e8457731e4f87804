// SPDX-License-Identifier: BSD-3-Clause
// What a trace costs beside the forward pass that it runs: time, and memory while it runs, for ResNet-50 and GPT-2
// small. Forward passes and traces take turns; the memory is the resident set's highest mark of each, from where it
// was before (Linux: /proc/self).
#include "convolutional.hpp"
#include "sequences.hpp"

#include <dynascope/trace.hpp>

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <malloc.h>
#include <string>
#include <vector>

namespace {

using dynascope::test::zoo::Model;
using torch::Tensor;

constexpr int kRuns = 30;

/// MiB of one line of /proc/self/status.
double status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) == 0) {
      return std::strtod(line.c_str() + key.size() + 1, nullptr) / 1024;
    }
  }
  return 0;
}

struct Cost {
  std::vector<double> milliseconds;
  double mebibytes = 0;  ///< most

  void measure(const std::function<void()>& action) {
    malloc_trim(0);                                 // memory kept from before would hide what is used now
    std::ofstream("/proc/self/clear_refs") << "5";  // the highest mark starts again
    const double before = status("VmRSS:");
    const auto begin = std::chrono::steady_clock::now();
    action();
    milliseconds.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    mebibytes = std::max(mebibytes, status("VmHWM:") - before);
  }

  void print(const char* what) {
    std::sort(milliseconds.begin(), milliseconds.end());
    std::printf("  %-8s %9.2f ms (%.2f to %.2f), %.0f MiB\n", what, milliseconds[milliseconds.size() / 2],
                milliseconds.front(), milliseconds.back(), mebibytes);
  }
};

void compare(const std::string& name, Model& model, const Tensor& example) {
  model.eval();
  Cost forward, trace;
  size_t layers = 0;
  const auto run = [&] { return model.forward(example); };
  for (int i = -2; i < kRuns; ++i) {
    if (i == 0) {
      forward = trace = {};
    }
    forward.measure([&] {
      const torch::NoGradGuard no_grad;
      run();
    });
    trace.measure([&] {
      const dynascope::Network network = dynascope::trace(model, run);
      layers = network.weight_layers.size();
    });
  }
  std::printf("%s, example %s, %zu weight layers\n", name.c_str(), c10::str(example.sizes()).c_str(), layers);
  forward.print("forward");
  trace.print("trace");
}

}  // namespace

int main() {
  torch::manual_seed(1);
  std::printf("%d threads, medians (and range) of %d runs\n", torch::get_num_threads(), kRuns);
  {
    dynascope::test::zoo::ResNet model({3, 4, 6, 3}, true);
    compare("ResNet-50", model, torch::randn({1, 3, 64, 64}));
    compare("ResNet-50", model, torch::randn({1, 3, 224, 224}));
  }
  dynascope::test::zoo::Gpt2 model;
  compare("GPT-2 small", model, torch::randint(50257, {1, 16}));
  compare("GPT-2 small", model, torch::randint(50257, {1, 128}));
}
