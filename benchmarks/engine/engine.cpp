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
// Run it with --benchmark_enable_random_interleaving and repetitions (scripts/bench does): contenders then take turns
// in one process, and a noisy moment meets all of them.

#include "engine/cpu_backend.hpp"
#include "engine/plan.hpp"
#include "workloads.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include <array>
#include <chrono>
#include <memory>
#include <numeric>

namespace dynascope::bench {
namespace {

// Everything that the contenders of one workload share, made by the first of them.
class Setup {
 public:
  explicit Setup(const Workload& workload) : workload_(workload) {}

  engine::CpuBackend& backend() {
    make();
    return *backend_;
  }

  const std::vector<at::Tensor>& weights() {
    make();
    return weights_;
  }

  double bytes() {
    make();
    return std::accumulate(weights_.begin(), weights_.end(), 0.0, [](double sum, const at::Tensor& weight) {
      return sum + static_cast<double>(weight.nbytes());
    });
  }

  bool cold() const { return workload_.cold; }

 private:
  void make() {
    if (backend_) {
      return;
    }
    const Network network = workload_.make();
    for (const WeightLayer& layer : network.weight_layers) {
      weights_.push_back(layer.weight.dim() > 2 ? layer.weight.flatten(1) : layer.weight);
    }
    engine::PlanOptions options;
    options.histogram = Histogram::kEveryRow;
    plan_ = std::make_unique<engine::Plan>(network, options);
    std::vector<double> edges;
    for (size_t i = 0; i < network.weight_layers.size(); ++i) {
      for (int64_t bin = 0; bin <= options.histogram_bins; ++bin) {
        edges.push_back(-0.1 + 0.2 * static_cast<double>(bin) / static_cast<double>(options.histogram_bins));
      }
    }
    plan_->set_histogram_edges(std::move(edges));
    backend_ = std::make_unique<engine::CpuBackend>(*plan_, 1);
  }

  const Workload& workload_;
  std::unique_ptr<engine::Plan> plan_;
  std::unique_ptr<engine::CpuBackend> backend_;
  std::vector<at::Tensor> weights_;
};

void empty_caches() {
  static std::vector<char> other(size_t{256} << 20, 1);
  for (size_t i = 0; i < other.size(); i += 64) {
    ++other[i];
  }
  benchmark::ClobberMemory();
}

template <typename Body>
void run(benchmark::State& state, Setup& setup, const Body& body) {
  const at::NoGradGuard no_grad;
  body();
  for (auto _ : state) {
    if (setup.cold()) {
      empty_caches();
    }
    const auto begin = std::chrono::steady_clock::now();
    body();
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  state.counters["bytes"] = setup.bytes();
}

void register_all(const Workload& workload) {
  const auto setup = std::make_shared<Setup>(workload);
  const auto add = [&](const char* contender, auto body) {
    benchmark::RegisterBenchmark((workload.name + "/" + contender).c_str(),
                                 [setup, body](benchmark::State& state) { run(state, *setup, [&] { body(*setup); }); })
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

}  // namespace
}  // namespace dynascope::bench

int main(int argc, char** argv) {
  for (const auto& workload : dynascope::bench::workloads()) {
    dynascope::bench::register_all(workload);
  }
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
}
