// SPDX-License-Identifier: BSD-3-Clause

// What one row costs on the CPU, beside what a user would write and beside reading the weights once:
//
//   row        one snapshot by the engine, without histogram
//   histogram  the same with 128 bins
//   eager      per weight: w.sum(1), w.sum(0), w.std(), w.min(), w.max()
//   read       per weight: w.sum()
//
// and, for the roofline, what one thread can add at most (peak.cpp).
//
// With --device=cuda: cuda.hpp.
//
// Run it with --benchmark_enable_random_interleaving and repetitions (scripts/bench does): contenders then take turns
// in one process, and a noisy moment meets all of them.

#include "cuda.hpp"
#include "setup.hpp"
#include "workloads.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include <array>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>

namespace dynascope::bench {
namespace {

void empty_caches() {
  static std::vector<char> other(size_t{256} << 20, 1);
  for (size_t i = 0; i < other.size(); i += 64) {
    ++other[i];
  }
  benchmark::ClobberMemory();
}

template <typename Body>
void run(benchmark::State& state, Setup& setup, bool cold, const Body& body) {
  const at::NoGradGuard no_grad;
  body();
  for (auto _ : state) {
    if (cold) {
      empty_caches();
    }
    const auto begin = std::chrono::steady_clock::now();
    body();
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  state.counters["bytes"] = setup.bytes();
}

void register_all(const Workload& workload) {
  const auto setup = std::make_shared<Setup>(workload, at::TensorOptions());
  const auto add = [&](const char* contender, auto body) {
    benchmark::RegisterBenchmark((workload.name + "/" + contender).c_str(),
                                 [setup, cold = workload.cold, body](benchmark::State& state) {
                                   run(state, *setup, cold, [&] { body(*setup); });
                                 })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  };
  add("row", [](Setup& with) { with.backend().measure(0, false); });
  add("histogram", [](Setup& with) { with.backend().measure(0, true); });
  add("eager", [](Setup& with) {
    for (const at::Tensor& w : with.weights()) {
      benchmark::DoNotOptimize(std::array{w.sum(1), w.sum(0), w.std(), w.min(), w.max()});
    }
  });
  add("read", [](Setup& with) {
    for (const at::Tensor& w : with.weights()) {
      benchmark::DoNotOptimize(w.sum());
    }
  });
}

// Takes "--device=cpu" or "--device=cuda" out of the arguments, which are Google Benchmark's otherwise.
std::string take_device(int& argc, char** argv) {
  std::string device = "cpu";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--device=", 0) == 0) {
      device = argument.substr(9);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return device;
}

}  // namespace
}  // namespace dynascope::bench

int main(int argc, char** argv) {
  const std::string device = dynascope::bench::take_device(argc, argv);
  if (device == "cpu") {
    for (const auto& workload : dynascope::bench::workloads()) {
      dynascope::bench::register_all(workload);
    }
  } else if (device != "cuda" || !dynascope::bench::register_cuda()) {
    std::cerr << "bench_engine: --device must be cpu, or cuda with a usable GPU and a build with CUDA; got '" << device
              << "'\n";
    return 2;
  }
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::AddCustomContext("device", device);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::ClearRegisteredBenchmarks();  // while the driver is there
}
