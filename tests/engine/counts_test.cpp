// SPDX-License-Identifier: BSD-3-Clause

// The cpu's counting in float32 against a search through the edges, value by value, for every instruction set of this
// machine.

#include "engine/cpu/counts.hpp"

#include "instruction_sets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace dynascope::test {
namespace {

namespace cpu = engine::cpu;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// By the definition: [a, b), the last bin closed, under- and overflow; what is not finite is not counted.
std::vector<int64_t> counted(const std::vector<double>& edges, const std::vector<float>& values) {
  std::vector<int64_t> counts(edges.size() + 1);
  for (const float value : values) {
    if (std::isfinite(value)) {
      const auto above = std::upper_bound(edges.begin(), edges.end(), static_cast<double>(value));
      const auto slot = static_cast<size_t>(above - edges.begin());
      ++counts[static_cast<double>(value) == edges.back() ? slot - 1 : slot];
    }
  }
  return counts;
}

std::vector<int64_t> counted_by_engine(const std::vector<double>& edges, std::vector<float> values) {
  engine::Tables tables{};
  tables.histogram_edges = edges.data();
  tables.histogram_bins = static_cast<int64_t>(edges.size()) - 1;
  std::vector<int64_t> counts(edges.size() + 1);
  std::mutex mutex;
  const size_t all = values.size();
  values.resize(all + cpu::kMinima);
  {
    cpu::Counts gathered(tables, reinterpret_cast<std::byte*>(counts.data()), mutex);
    for (size_t first = 0; first < all; first += engine::kTileLanes) {
      const size_t count = std::min<size_t>(engine::kTileLanes, all - first);
      gathered.add(0, values.data() + first, static_cast<int>(count));
    }
  }
  return counts;
}

/// Values at every edge and next to it, in the bins, far outside, and none at all.
std::vector<float> values_around(const std::vector<double>& edges, std::mt19937& chance) {
  std::vector<float> values = {0.0F,    -0.0F,    kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(),
                               3.0e38F, -3.0e38F, 1e-45F,    -1e-45F};
  for (const double edge : edges) {
    const auto at = static_cast<float>(edge);
    float up = at;
    float down = at;
    values.push_back(at);
    for (int i = 0; i < 3; ++i) {
      up = std::nextafter(up, kInfinity);
      down = std::nextafter(down, -kInfinity);
      values.insert(values.end(), {up, down});
    }
  }
  const double width = edges.back() - edges.front();
  std::uniform_real_distribution<double> inside(edges.front() - 0.3 * width, edges.back() + 0.3 * width);
  for (int i = 0; i < 3000; ++i) {
    values.push_back(static_cast<float>(inside(chance)));
  }
  return values;
}

class Counting : public OnInstructionSet {};

TEST_P(Counting, EveryValueFallsIntoItsBinHoweverCloseToAnEdge) {
  constexpr unsigned kSeed = 31;
  std::mt19937 chance(kSeed);
  std::uniform_real_distribution<double> unit(-1, 1);
  for (int turn = 0; turn < 300; ++turn) {
    const int bins = turn % 3 == 0 ? 128 : 1 + static_cast<int>(chance() % 200);
    const double width = std::pow(10.0, 6 * unit(chance));
    // About zero as the Monitor does it, and anywhere, also where float32 cannot tell one bin from the next.
    const double low = turn % 2 == 0 ? -width / 2 : width * std::pow(10.0, 5 * unit(chance));
    std::vector<double> edges;
    for (int i = 0; i <= bins; ++i) {
      edges.push_back(low + width * i / bins);
    }
    if (turn % 5 == 4) {  // not equally wide
      for (double& edge : edges) {
        edge += width / bins * 0.4 * unit(chance);
      }
    }
    const std::vector<float> values = values_around(edges, chance);
    EXPECT_EQ(counted_by_engine(edges, values), counted(edges, values)) << "seed " << kSeed << ", turn " << turn;
  }
}

TEST_P(Counting, SubnormalBinsAreCountedToo) {
  std::vector<double> edges;
  for (int i = -8; i <= 8; ++i) {
    edges.push_back(i * 1.5e-45);
  }
  std::mt19937 chance(1);
  const std::vector<float> values = values_around(edges, chance);
  EXPECT_EQ(counted_by_engine(edges, values), counted(edges, values));
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Counting, instruction_sets(), instruction_set_name);

}  // namespace
}  // namespace dynascope::test
