// SPDX-License-Identifier: BSD-3-Clause

// The stand-in itself: it must show what is wrong with a kernel, or the tests on it say nothing.

#include "support/host_device/scheduler.hpp"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <vector>

namespace dynascope::host_device {
namespace {

TEST(HostDeviceScheduler, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> runs(5 * 70);
  run_grid(5, 70, [&] { ++runs[blockIdx.x * 70 + threadIdx.x]; });
  EXPECT_EQ(runs, std::vector<int>(5 * 70, 1));
}

TEST(HostDeviceScheduler, NoThreadPassesABarrierBeforeTheLastArrives) {
  int arrived = 0;
  int too_early = 0;
  run_grid(3, 64, [&] {
    ++arrived;
    wait_for_block();
    too_early += arrived % 64 == 0 ? 0 : 1;
    wait_for_block();
  });
  EXPECT_EQ(too_early, 0);
}

TEST(HostDeviceScheduler, AMissingBarrierShowsAsAChangedResult) {
  std::set<unsigned> results;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    set_thread_order(seed);
    unsigned last = 0;
    run_grid(1, 64, [&] { last = threadIdx.x; });
    results.insert(last);
  }
  EXPECT_GT(results.size(), 1U);
}

TEST(HostDeviceScheduler, ShufflesTakeFromTheLaneAboveWithinTheGroup) {
  std::vector<uint64_t> got(64);
  run_grid(1, 64, [&] {
    const uint64_t first = exchange_down(0xFFFFFFFFU, threadIdx.x, 2, 8);
    got[threadIdx.x] = exchange_down(0xFFFFFFFFU, first, 1, 32);
  });
  for (unsigned thread = 0; thread < 64; ++thread) {
    const auto above = [](unsigned lane, unsigned delta, unsigned width) {
      return lane % width + delta < width ? lane + delta : lane;
    };
    EXPECT_EQ(got[thread], above(above(thread, 1, 32), 2, 8)) << thread;
  }
}

TEST(HostDeviceScheduler, ABarrierThatSomeThreadsNeverReachIsAnError) {
  EXPECT_THROW(run_grid(1, 64,
                        [] {
                          if (threadIdx.x != 5) {
                            wait_for_block();
                          }
                        }),
               std::logic_error);
  // And the stand-in goes on.
  int runs = 0;
  run_grid(1, 64, [&] { ++runs; });
  EXPECT_EQ(runs, 64);
}

TEST(HostDeviceScheduler, AShuffleThatSomeLanesNeverReachIsAnError) {
  EXPECT_THROW(run_grid(1, 32,
                        [] {
                          if (threadIdx.x < 16) {
                            exchange_down(0xFFFFFFFFU, 1, 1, 32);
                          }
                        }),
               std::logic_error);
}

}  // namespace
}  // namespace dynascope::host_device
