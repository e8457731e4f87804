// SPDX-License-Identifier: BSD-3-Clause

// What one thread could do at most: additions of float32 vectors that never leave their registers.

#include <benchmark/benchmark.h>

namespace dynascope::bench {
namespace {

using Vector __attribute__((vector_size(64))) = float;
constexpr int kLanes = 16;
constexpr int kChains = 6;  // enough to hide an addition's latency, few enough for 16 registers of half the width
constexpr int kRounds = 1 << 16;

#if defined(__x86_64__)
__attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif
void add_in_registers(Vector* sums, float step) {
  Vector a = sums[0];
  Vector b = sums[1];
  Vector c = sums[2];
  Vector d = sums[3];
  Vector e = sums[4];
  Vector f = sums[5];
  for (int i = 0; i < kRounds; ++i) {
    a += step;
    b += step;
    c += step;
    d += step;
    e += step;
    f += step;
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
  sums[4] = e;
  sums[5] = f;
}

void additions(benchmark::State& state) {
  Vector sums[kChains] = {};
  for (auto _ : state) {
    add_in_registers(sums, 1.0F);
    benchmark::DoNotOptimize(sums);
  }
  state.counters["operations"] = static_cast<double>(kLanes) * kChains * kRounds;
}

BENCHMARK(additions)->Name("additions")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace dynascope::bench
