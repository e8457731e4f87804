// SPDX-License-Identifier: BSD-3-Clause
// The budget against simulated training: steps and snapshots that take what the test says.
#include "monitor/budget.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace dynascope::monitor {
namespace {

struct Simulation {
  explicit Simulation(double share) : budget(share) {}

  /// `count` steps of `step` seconds, all asking; snapshots cost `cost`, and `later` behind the scenes.
  void run(int64_t count, double step, double cost, double later = 0) {
    for (int64_t i = 0; i < count; ++i) {
      now += step * noise();
      const auto decision = budget.ask(now, {spent, rows > 0 ? behind / static_cast<double>(rows) : 0});
      changes += decision.change.empty() ? 0 : 1;
      if (!decision.change.empty()) {
        last_change = decision.change;
      }
      ++steps;
      if (decision.take) {
        const double price = cost * noise();
        now += price;
        spent += price + later;
        behind += later;
        ++rows;
        budget.paid(price);
        taken.push_back(steps);
      }
    }
  }
  double noise() { return std::exp(std::normal_distribution<double>(0, spread)(random)); }
  double share() const { return spent / now; }

  Budget budget;
  std::mt19937_64 random{20261124};
  double spread = 0.1;
  double now = 0, spent = 0, behind = 0;
  int64_t steps = 0, rows = 0, changes = 0;
  std::string last_change;
  std::vector<int64_t> taken;
};

TEST(Budget, WithoutALimitEveryStepHasItsRow) {
  Simulation simulation(0);
  simulation.run(100, 1e-3, 1e-2);
  EXPECT_EQ(simulation.rows, 100);
  EXPECT_EQ(simulation.changes, 0);
}

TEST(Budget, WhatIsCheapEnoughIsTakenEveryStep) {
  Simulation simulation(0.01);
  simulation.run(1000, 10e-3, 20e-6);
  EXPECT_GE(simulation.rows, 995);
  EXPECT_EQ(simulation.changes, 0);
}

TEST(Budget, IsKeptAndUsedForCostsOfAllKinds) {
  for (const double share : {0.001, 0.01, 0.05}) {
    for (const double ratio : {0.003, 0.03, 0.3, 3.0, 30.0}) {  // a snapshot against a step
      Simulation simulation(share);
      simulation.run(400000, 1e-3, ratio * 1e-3);
      EXPECT_LE(simulation.share(), share * 1.001) << share << " " << ratio;
      // Strides come in steps of up to 2.5, and a narrower one needs a margin.
      EXPECT_GE(simulation.share(), 0.9 * std::min(ratio, share / 2.5 * 0.75)) << share << " " << ratio;
      EXPECT_LE(simulation.changes, 6) << share << " " << ratio;
    }
  }
}

TEST(Budget, RowsFallOnMultiplesOfTheStride) {
  Simulation simulation(0.01);
  simulation.run(20000, 1e-3, 0.3e-3);
  ASSERT_EQ(simulation.budget.stride(), 50);
  ASSERT_GT(simulation.rows, 300);
  for (const int64_t step : simulation.taken) {
    EXPECT_TRUE(step % 50 == 0 || step == 1) << step;
  }
}

TEST(Budget, WidensWhenStepsGetFasterAndNarrowsWhenTheyGetSlower) {
  Simulation simulation(0.01);
  simulation.run(5000, 5e-3, 0.08e-3);
  EXPECT_EQ(simulation.budget.stride(), 2);
  simulation.run(20000, 1e-3, 0.08e-3);
  EXPECT_EQ(simulation.budget.stride(), 10);
  EXPECT_NE(simulation.last_change.find("one of 10 due steps has a row from here on, before it was one of"),
            std::string::npos)
      << simulation.last_change;
  simulation.run(20000, 20e-3, 0.08e-3);
  EXPECT_EQ(simulation.budget.stride(), 1);
  EXPECT_LE(simulation.share(), 0.01);
}

TEST(Budget, TheFirstRowTellsWhatOneCosts) {
  Simulation simulation(0.01);
  simulation.spread = 0;
  simulation.run(49, 1e-3, 0.49e-3);
  EXPECT_EQ(simulation.taken, std::vector<int64_t>{1});
  EXPECT_EQ(simulation.budget.stride(), 50);
  simulation.run(151, 1e-3, 0.49e-3);
  EXPECT_EQ(simulation.taken, (std::vector<int64_t>{1, 100, 150, 200}));
}

TEST(Budget, WhatIsPaidLaterCounts) {
  Simulation simulation(0.01);
  simulation.run(100000, 1e-3, 10e-6, 0.2e-3);
  EXPECT_LE(simulation.share(), 0.0101);
  EXPECT_GE(simulation.budget.stride(), 20);
}

TEST(Budget, ADebtFromElsewhereIsPaidBeforeTheNextRow) {
  Simulation simulation(0.01);
  simulation.run(1000, 1e-3, 0.1e-3);
  const int64_t rows = simulation.rows;
  simulation.spent += 0.05;  // an epoch end with a histogram: five seconds' worth
  simulation.run(3000, 1e-3, 0.1e-3);
  EXPECT_LE(simulation.rows, rows + 1);
  simulation.run(10000, 1e-3, 0.1e-3);
  EXPECT_GT(simulation.rows, rows + 100);
  EXPECT_LE(simulation.share(), 0.0101);
}

}  // namespace
}  // namespace dynascope::monitor
