// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/schedule.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace dynascope {
namespace {

std::vector<int64_t> due_steps(const Schedule& schedule, int64_t last) {
  std::vector<int64_t> steps;
  for (int64_t step = 0; step <= last; ++step) {
    if (schedule.due(step)) {
      steps.push_back(step);
    }
  }
  return steps;
}

TEST(Schedule, IsEmptyUnlessToldOtherwise) {
  EXPECT_TRUE(due_steps(Schedule(), 1000).empty());
  EXPECT_EQ(Schedule().describe(), "epoch ends only");
}

TEST(Schedule, EveryTakesMultiples) {
  EXPECT_EQ(due_steps(Schedule().every(4), 13), (std::vector<int64_t>{4, 8, 12}));
  EXPECT_EQ(due_steps(Schedule().every(1), 3), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(Schedule().every(4).describe(), "every 4 steps");
}

TEST(Schedule, WindowsAddUpAndIncludeTheirEnds) {
  const auto schedule = Schedule().every(1, 100, 103).every(50, 104);
  EXPECT_EQ(due_steps(schedule, 260), (std::vector<int64_t>{100, 101, 102, 103, 150, 200, 250}));
  EXPECT_EQ(schedule.describe(), "every step from 100 to 103, every 50 steps from 104 on");
  EXPECT_EQ(due_steps(Schedule().every(2).every(3), 7), (std::vector<int64_t>{2, 3, 4, 6}));
}

TEST(Schedule, LogSpacedStepsAreTheRoundedPowers) {
  for (const int64_t per_decade : {1, 2, 3, 7, 10, 50}) {
    std::set<int64_t> expected;
    for (int64_t k = 0; k <= 5 * per_decade; ++k) {
      expected.insert(std::llround(std::pow(10.0, static_cast<double>(k) / static_cast<double>(per_decade))));
    }
    const auto got = due_steps(Schedule().log_spaced(per_decade), 100000);
    EXPECT_EQ(std::set<int64_t>(got.begin(), got.end()), expected) << per_decade;
  }
  EXPECT_EQ(due_steps(Schedule().log_spaced(1), 1000000),
            (std::vector<int64_t>{1, 10, 100, 1000, 10000, 100000, 1000000}));
  EXPECT_EQ(Schedule().log_spaced(5).describe(), "5 steps per decade");
}

TEST(Schedule, AFunctionIsAskedOncePerStep) {
  std::vector<int64_t> asked;
  const auto schedule = Schedule().when(
      [&](int64_t step) {
        asked.push_back(step);
        return step == 3;
      },
      "the third");
  EXPECT_EQ(due_steps(schedule, 5), (std::vector<int64_t>{3}));
  EXPECT_EQ(asked, (std::vector<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(schedule.describe(), "the third");
}

TEST(Schedule, BetweenCountsWhatIsDueInside) {
  const auto schedule = Schedule().every(10).every(1, 95, 99).log_spaced(1);
  EXPECT_EQ(schedule.between(0, 100), 9 + 5 + 1);  // 10 to 90 (10 once), 95 to 99, 1
  EXPECT_EQ(schedule.between(10, 20), 0);
  EXPECT_EQ(schedule.between(20, 10), 0);
  EXPECT_EQ(Schedule().when([](int64_t) { return true; }).between(0, 100), 0);
}

TEST(Schedule, SaysWhatMakesNoSense) {
  const auto refusal = [](const auto& make) -> std::string {
    try {
      make();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal([] { Schedule().every(0); }), "Schedule::every needs n of 1 or more, got 0");
  EXPECT_EQ(refusal([] { Schedule().every(2, 9, 8); }),
            "Schedule::every needs 1 <= first <= last, got first 9 and last 8");
  EXPECT_EQ(refusal([] { Schedule().every(2, 0); }).substr(0, 42), "Schedule::every needs 1 <= first <= last, ");
  EXPECT_EQ(refusal([] { Schedule().log_spaced(0); }), "Schedule::log_spaced needs 1 or more steps per decade, got 0");
  EXPECT_EQ(refusal([] { Schedule().when(nullptr); }), "Schedule::when needs a function, got an empty one");
}

}  // namespace
}  // namespace dynascope
