// SPDX-License-Identifier: BSD-3-Clause
#include "cuda.hpp"

#include "ceiling.hpp"
#include "setup.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/var_mean.h>
#include <benchmark/benchmark.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>

namespace dynascope::bench {
namespace {

constexpr int64_t kHold = 200;                    // microseconds
constexpr int64_t kFlushed = int64_t{512} << 20;  // bytes: twice the largest second-level cache, and more
constexpr int64_t kHostBytes = int64_t{2} << 30;  // pinned memory that the contender "host" may take
using Clock = std::chrono::steady_clock;

void eager(const std::vector<at::Tensor>& weights) {
  for (const at::Tensor& w : weights) {
    benchmark::DoNotOptimize(std::array{w.sum(1), w.sum(0), w.std(), w.min(), w.max()});
  }
}

/// Captured at the first use.
class Graph {
 public:
  void replay(const std::function<void()>& body) {
    if (!captured_) {
      body();  // handles and memory come before a capture
      c10::cuda::device_synchronize();
      graph_.capture_begin();
      body();
      graph_.capture_end();
      captured_ = true;
    }
    graph_.replay();
  }

 private:
  at::cuda::CUDAGraph graph_;
  bool captured_ = false;
};

/// A workload on the GPU, and what its contenders need beside the weights.
class OnGpu {
 public:
  explicit OnGpu(const Workload& workload) : setup_(workload, at::TensorOptions(at::kCUDA)), on_host_(workload, {}) {}

  double bytes() { return setup_.bytes(); }

  void row(bool histogram) {
    benchmark::DoNotOptimize(setup_.plan().check());
    setup_.backend().measure(0, histogram);
  }
  void graph() {
    graph_.replay([this] { kept_ = setup_.backend().measure_to_tensor(false); });
  }
  void eager_graph() {
    eager_graph_.replay([this] { eager(setup_.weights()); });
  }
  void eager_on_device() { eager(setup_.weights()); }
  void item() {
    for (const at::Tensor& w : setup_.weights()) {
      benchmark::DoNotOptimize(std::array{w.sum(1), w.sum(0)});
      benchmark::DoNotOptimize(std::array{w.std().item<double>(), w.min().item<double>(), w.max().item<double>()});
    }
  }
  void gemv() {
    if (ones_.empty()) {
      for (const at::Tensor& w : setup_.weights()) {
        ones_.push_back({at::ones({w.size(1)}, w.options()), at::ones({w.size(0)}, w.options())});
      }
    }
    for (size_t i = 0; i < setup_.weights().size(); ++i) {
      const at::Tensor& w = setup_.weights()[i];
      benchmark::DoNotOptimize(std::array{at::mv(w, ones_[i][0]), at::mv(w.t(), ones_[i][1])});
      benchmark::DoNotOptimize(at::var_mean(w));
    }
  }
  void host() {
    // The cpu backend's network has weights of its own: pinned copies stand for what a copy costs.
    if (pinned_.empty()) {
      for (const at::Tensor& w : setup_.weights()) {
        pinned_.push_back(at::empty(w.sizes(), w.options().device(at::kCPU).pinned_memory(true)));
      }
    }
    for (size_t i = 0; i < pinned_.size(); ++i) {
      pinned_[i].copy_(setup_.weights()[i], /*non_blocking=*/true);
    }
    c10::cuda::getCurrentCUDAStream().synchronize();
    on_host_.backend().measure(0, false);
  }
  void read() {
    const auto& weights = setup_.weights();
    if (!unused_.defined()) {
      size_t most = 1;
      for (const at::Tensor& w : weights) {
        most = std::max(most, sum_words_bytes(static_cast<int64_t>(w.nbytes() / 4)));
      }
      unused_ = at::empty({static_cast<int64_t>(most)}, at::TensorOptions(at::kCUDA).dtype(at::kByte));
      sum_ = at::empty({1}, at::TensorOptions(at::kCUDA));
    }
    for (const at::Tensor& w : weights) {
      sum_words(static_cast<const float*>(w.const_data_ptr()), static_cast<int64_t>(w.nbytes() / 4),
                sum_.mutable_data_ptr<float>(), unused_.mutable_data_ptr(), static_cast<size_t>(unused_.numel()),
                c10::cuda::getCurrentCUDAStream());
    }
  }

 private:
  Setup setup_, on_host_;
  Graph graph_, eager_graph_;
  at::Tensor kept_, unused_, sum_;
  std::vector<std::array<at::Tensor, 2>> ones_;
  std::vector<at::Tensor> pinned_;
};

void empty_cache() {
  static const auto& other =
      *new at::Tensor(at::empty({kFlushed}, at::TensorOptions(at::kCUDA).dtype(at::kByte)));  // outlives the driver
  other.zero_();
}

double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

void run(benchmark::State& state, OnGpu& workload, bool cold, const std::function<void(OnGpu&)>& body) {
  const at::NoGradGuard no_grad;
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  const c10::cuda::CUDAStreamGuard guard(stream);
  at::cuda::CUDAEvent begin(cudaEventDefault), end(cudaEventDefault);
  body(workload);
  double host = 0;
  for (auto _ : state) {
    stream.synchronize();
    const auto called = Clock::now();
    body(workload);
    host += microseconds_since(called);
    stream.synchronize();
    if (cold) {
      empty_cache();
    }
    hold(kHold, stream);
    begin.record(stream);
    body(workload);
    end.record(stream);
    end.synchronize();
    state.SetIterationTime(static_cast<double>(begin.elapsed_time(end)) * 1e-3);
  }
  state.counters["bytes"] = workload.bytes();
  state.counters["host_us"] = benchmark::Counter(host, benchmark::Counter::kAvgIterations);
}

void add(const std::string& name, const std::shared_ptr<OnGpu>& workload, bool cold,
         const std::function<void(OnGpu&)>& body) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [workload, cold, body](benchmark::State& state) {
                                 try {
                                   run(state, *workload, cold, body);
                                 } catch (const std::exception& error) {  // out of memory, say
                                   const std::string what = error.what();
                                   state.SkipWithError(what.substr(0, what.find('\n')).c_str());
                                 }
                               })
      ->Iterations(1)  // each repetition is a sample
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

void register_all(const Workload& workload) {
  const auto on_gpu = std::make_shared<OnGpu>(workload);
  const std::pair<const char*, std::function<void(OnGpu&)>> contenders[] = {
      {"row", [](OnGpu& with) { with.row(false); }},
      {"graph", [](OnGpu& with) { with.graph(); }},
      {"histogram", [](OnGpu& with) { with.row(true); }},
      {"eager", [](OnGpu& with) { with.eager_on_device(); }},
      {"item", [](OnGpu& with) { with.item(); }},
      {"eager_graph", [](OnGpu& with) { with.eager_graph(); }},
      {"gemv", [](OnGpu& with) { with.gemv(); }},
      {"host",
       [](OnGpu& with) {
         if (with.bytes() > static_cast<double>(kHostBytes)) {
           throw std::runtime_error("not copied to the host: larger than 2 GiB");
         }
         with.host();
       }},
      {"read", [](OnGpu& with) { with.read(); }},
  };
  for (const bool cold : {false, true}) {
    for (const auto& [name, body] : contenders) {
      add(workload.name + (cold ? ", cold/" : "/") + name, on_gpu, cold, body);
    }
  }
}

}  // namespace

bool register_cuda() {
  if (c10::cuda::device_count() == 0) {
    return false;
  }
  for (const auto* list : {&workloads(), &large_workloads()}) {
    for (const Workload& workload : *list) {
      if (!workload.cold) {  // every one is measured cold here
        register_all(workload);
      }
    }
  }
  return true;
}

}  // namespace dynascope::bench
