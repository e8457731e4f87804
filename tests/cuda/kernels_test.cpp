// SPDX-License-Identifier: BSD-3-Clause

// The kernels against the cpu's passes: whole rows and sums, byte by byte. The body is built three times: the kernels'
// own sources run thread by thread on the host, without LibTorch and a GPU; the same with the address and
// undefined-behaviour sanitizers; and on a GPU.

#include "engine/tree.hpp"
#include "hand_tables.hpp"
#include "support/require_gpu.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace dynascope::test {
namespace {

using engine::Dtype;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class OnDevice : public ::testing::Test {
 protected:
  void SetUp() override { DYNASCOPE_SKIP_UNLESS_EMPTY(reason_to_skip_device()); }
};
using KernelsOnTiles = OnDevice;
using KernelsOnNodes = OnDevice;
using KernelsOnPartials = OnDevice;
using KernelsOnLinks = OnDevice;
using KernelsOnHistograms = OnDevice;
using KernelsOnNothing = OnDevice;

/// Rows of the kernels, under `orders` orders of threads, must be the cpu's.
void expect_cpu_row(const HandTables& tables, bool histogram, uint64_t seed = 0, uint64_t orders = 1) {
  const std::vector<std::byte> expected = cpu_row(tables, histogram);
  for (uint64_t order = seed; order < seed + orders; ++order) {
    SCOPED_TRACE("order of threads: seed " + std::to_string(order));
    set_thread_order(order);
    ASSERT_EQ(first_difference(expected, device_row(tables, histogram)), "");
  }
}

// Every way of filling, cutting and leaving empty a tile; sums of one, few and many blocks; taps that are a tile each.
const Shape kShapes[] = {
    {1, 1},
    {1, 700},
    {140, 1},
    {7, 3},
    {65, 257},
    {64, 256},
    {10, 8, {1, 3, 3}},
    {8, 4, {1, 2, 2}},
    {66, 30, {1, 3, 3}},
    {3, 12, {1, 7, 7}},
    {2, 2, {3, 10, 10}},
    {24, 1, {1, 3, 3}, 24},
    {12, 5, {1, 1, 9}, 3},
    {132, 3, {1, 1, 5}, 2},
    {0, 5},
    {5, 0},
};

class Kernels : public OnDevice, public ::testing::WithParamInterface<std::tuple<Dtype, Layout>> {};

std::string parameter_name(const ::testing::TestParamInfo<Kernels::ParamType>& info) {
  const char* dtypes[] = {"float32", "float64", "bfloat16", "float16"};
  const char* layouts[] = {"Contiguous", "Transposed", "Padded", "Misaligned"};
  return std::string(dtypes[static_cast<int>(std::get<0>(info.param))]) +
         layouts[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(DtypesAndLayouts, Kernels,
                         ::testing::Combine(::testing::Values(Dtype::kFloat32, Dtype::kFloat64, Dtype::kBFloat16,
                                                              Dtype::kFloat16),
                                            ::testing::Values(Layout::kContiguous, Layout::kTransposed, Layout::kPadded,
                                                              Layout::kMisaligned)),
                         parameter_name);

TEST_P(Kernels, EveryShapeHasTheBitsOfTheCpu) {
  const auto [dtype, layout] = GetParam();
  for (size_t i = 0; i < std::size(kShapes); ++i) {
    SCOPED_TRACE("shape " + std::to_string(i));
    HandTables tables(i);
    tables.add_link(kShapes[i], dtype, layout, true, kShapes[i].groups == 1);
    tables.add_node(1, {}, 2);
    tables.add_node(17, {}, 3);
    tables.finish(9);
    expect_cpu_row(tables, true, i);
  }
}

TEST_P(Kernels, NonFiniteValuesTouchTheSameSums) {
  const auto [dtype, layout] = GetParam();
  for (const double value : {kNaN, kInfinity, -kInfinity}) {
    SCOPED_TRACE("value " + std::to_string(value));
    HandTables tables(3);
    const int32_t first = tables.add_link({65, 30, {1, 3, 3}}, dtype, layout, true, true);
    const int32_t second = tables.add_link({33, 300}, dtype, layout, false, true);
    tables.set_value(first, 0, 0, 0, value);  // the shift of its tile
    tables.set_value(first, 64, 29, 8, value);
    tables.set_value(second, 20, 280, 0, -value);
    tables.add_node(33, {3, 2}, 6);
    tables.add_copy(first);
    tables.finish(20);
    expect_cpu_row(tables, true);
  }
}

TEST_P(Kernels, RecordedParametersAreTheCpusCopies) {
  const auto [dtype, layout] = GetParam();
  HandTables tables(4);
  tables.add_copy(tables.add_link({37, 41, {1, 3, 1}}, dtype, layout, false));
  const int32_t zeros = tables.add_link({3, 3}, dtype, layout, false);
  tables.set_value(zeros, 1, 1, 0, -0.0);
  tables.set_value(zeros, 2, 1, 0, -kNaN);
  tables.add_copy(zeros);
  tables.finish(0);
  expect_cpu_row(tables, false);
}

/// A weight of one shape; one row in four with the histogram, which takes another way.
void expect_tiles_as_cpu(const Shape& shape, Dtype dtype, uint64_t seed, double factor = 1.0, double offset = 0.0) {
  SCOPED_TRACE("dtype " + std::to_string(static_cast<int>(dtype)));
  HandTables tables(seed);
  tables.scale(tables.add_link(shape, dtype, Layout::kContiguous, false, shape.groups == 1), factor, offset);
  tables.finish(5);
  expect_cpu_row(tables, (seed + static_cast<uint64_t>(dtype)) % 4 == 0, seed);
}

constexpr Dtype kShortDtypes[] = {Dtype::kFloat32, Dtype::kBFloat16, Dtype::kFloat16};

void expect_tiles_as_cpu(const Shape& shape, uint64_t seed) {
  for (const Dtype dtype : kShortDtypes) {
    expect_tiles_as_cpu(shape, dtype, seed);
  }
}

TEST_F(KernelsOnTiles, NarrowOnesOfEveryWidth) {
  for (int64_t columns = 1; columns <= 34; ++columns) {
    SCOPED_TRACE("columns " + std::to_string(columns));
    expect_tiles_as_cpu({9, columns}, kShortDtypes[columns % 3], static_cast<uint64_t>(columns));
  }
}

TEST_F(KernelsOnTiles, RowsAtTheEdgesOfTheFolds) {
  for (const int64_t columns : {63, 64, 65, 127, 128, 129, 132, 160, 188, 192, 255, 256, 260}) {
    SCOPED_TRACE("columns " + std::to_string(columns));
    expect_tiles_as_cpu({3, columns}, static_cast<uint64_t>(columns));
  }
}

TEST_F(KernelsOnTiles, RunsAndRoundsThatAreNotFull) {
  for (const int64_t rows : {1, 7, 8, 9, 15, 16, 17, 57, 63, 64, 65, 72}) {
    SCOPED_TRACE("rows " + std::to_string(rows));
    expect_tiles_as_cpu({rows, 192, {1, 1, 1}, 1, 256}, static_cast<uint64_t>(rows));
  }
}

TEST_F(KernelsOnTiles, TallOnes) {
  for (const int64_t columns : {256, 200, 40, 3}) {
    SCOPED_TRACE("columns " + std::to_string(columns));
    expect_tiles_as_cpu({256 + 77, columns, {1, 1, 1}, 1, 256}, static_cast<uint64_t>(columns));
  }
  expect_tiles_as_cpu({150, 30, {1, 3, 3}, 1, 256}, 1);
}

TEST_F(KernelsOnTiles, AnyNumberOfTaps) {
  for (const int64_t taps :
       {2, 3, 4, 5, 8, 9, 16, 25, 27, 31, 32, 49, 64, 85, 86, 100, 127, 128, 129, 255, 256, 257, 300}) {
    SCOPED_TRACE("taps " + std::to_string(taps));
    expect_tiles_as_cpu({9, 5, {1, 1, taps}}, kShortDtypes[taps % 3], static_cast<uint64_t>(taps));
    if (taps < 100) {
      expect_tiles_as_cpu({2, 33, {1, taps, 1}}, kShortDtypes[(taps + 1) % 3], static_cast<uint64_t>(taps));
    }
  }
}

TEST_F(KernelsOnTiles, ThoseThatAreAddedOnceMore) {
  const std::pair<double, double> kFactorsAndOffsets[] = {
      {1e30, 0.0}, {1e-30, 0.0}, {0.0, 0.0}, {0.0, -3.0}, {1.0, 1e4}};
  for (const auto& [factor, offset] : kFactorsAndOffsets) {
    SCOPED_TRACE("factor " + std::to_string(factor) + ", offset " + std::to_string(offset));
    for (const Shape& shape : {Shape{70, 256}, Shape{70, 33}, Shape{9, 12, {1, 3, 3}}}) {
      for (const Dtype dtype : kShortDtypes) {
        expect_tiles_as_cpu(shape, dtype, 1, factor, offset);
      }
    }
  }
}

TEST_F(KernelsOnTiles, OneValueThatIsNotFiniteMakesOneTileCareful) {
  for (const double value : {kNaN, kInfinity, -kInfinity}) {
    SCOPED_TRACE("value " + std::to_string(value));
    for (const Dtype dtype : {Dtype::kFloat32, Dtype::kBFloat16, Dtype::kFloat16}) {
      HandTables tables(5);
      const int32_t link = tables.add_link({130, 512}, dtype, Layout::kContiguous, false, true);
      tables.set_value(link, 0, 0, 0, value);
      tables.set_value(link, 129, 511, 0, value);
      tables.add_node(130, {}, 3);
      tables.finish(0);
      expect_cpu_row(tables, false);
    }
  }
}

TEST_F(KernelsOnNodes, RandomTermsHaveTheBitsOfTheCpu) {
  for (uint64_t seed = 100; seed < 108; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    HandTables tables(seed);
    tables.add_link({40, 6, {1, 3, 3}}, Dtype::kFloat32, Layout::kContiguous, true);
    tables.add_link({300, 40}, Dtype::kFloat64, Layout::kContiguous, true);
    tables.add_link({8, 4, {2, 3, 3}, 2}, Dtype::kBFloat16, Layout::kContiguous, false);
    tables.add_node(1 + static_cast<int64_t>(seed % 7), {3, 2, 4}, 5);
    tables.add_node(300, {}, 4);
    tables.add_node(13, {5, 5}, 8);
    tables.add_node(4, {9}, 1);
    tables.add_node(0, {}, 0);
    tables.finish(0);
    expect_cpu_row(tables, false, seed);
  }
}

TEST_F(KernelsOnNodes, SummaryOfManyUnitsFoldsAsTheCpus) {
  HandTables tables(7);
  tables.add_link({1500, 2, {1, 3, 3}}, Dtype::kFloat32, Layout::kContiguous, true);
  tables.add_node(1500, {2, 2}, 3);
  tables.finish(0);
  expect_cpu_row(tables, false);
}

TEST_F(KernelsOnNodes, BlocksOfALargeLayerMeetInTheirOrder) {
  // Two blocks; more than the 32 runs; layers of one block between them.
  HandTables tables(15);
  tables.add_link({1500, 2, {1, 3, 3}}, Dtype::kFloat32, Layout::kContiguous, true);
  tables.add_node(engine::kSummaryUnits + 5, {}, 2);
  tables.add_node(20, {}, 2);
  tables.add_node(1500, {9, 10}, 1);
  tables.add_node(engine::kSummaryUnits, {}, 1);
  tables.finish(0);
  expect_cpu_row(tables, false, 0, 3);
}

TEST_F(KernelsOnNodes, LaunchesAfterTheFirstFindTheTicketsAsTheyWere) {
  HandTables tables(16);
  tables.add_link({90, 200}, Dtype::kFloat32, Layout::kContiguous, true);
  tables.add_node(3 * engine::kSummaryUnits, {}, 2);
  tables.finish(7);
  set_thread_order(1);
  EXPECT_EQ(first_difference(cpu_row(tables, true), device_row(tables, true, 3)), "");
}

TEST_F(KernelsOnPartials, ManyBlocksOfPartialsFoldAsTheCpus) {
  // 40 blocks along rows and along columns: more than the 32 runs. float64: sums of few float32 are exact in any order.
  HandTables tables(8);
  tables.add_link({64 * 39 + 5, 3}, Dtype::kFloat64, Layout::kContiguous, false, true);
  tables.add_link({3, 256 * 39 + 5}, Dtype::kFloat64, Layout::kContiguous, false, true);
  tables.add_link({64 * 9, 256 * 5}, Dtype::kBFloat16, Layout::kContiguous, true, true);
  tables.add_link({3, 3, {6, 7, 7}}, Dtype::kFloat64, Layout::kContiguous, true, true);
  tables.finish(0);
  expect_cpu_row(tables, false);
}

TEST_F(KernelsOnLinks, MoreWeightLayersThanWarpsOfABlock) {
  HandTables tables(9);
  for (int i = 0; i < 19; ++i) {
    tables.add_link({1 + i, 20 - i}, Dtype::kFloat32, Layout::kContiguous, i % 2 == 0, true);
  }
  tables.finish(4);
  expect_cpu_row(tables, true);
}

TEST_F(KernelsOnLinks, LargeTermsNeitherOverflowNorLoseTheirOrder) {
  for (const double factor : {1e30, 1e-30, 3e38}) {
    SCOPED_TRACE("factor " + std::to_string(factor));
    HandTables tables(10);
    const int32_t link = tables.add_link({130, 270}, Dtype::kFloat64, Layout::kContiguous, true, true);
    tables.scale(link, factor);
    tables.set_value(link, 3, 3, 0, 1.0);
    tables.add_node(100, {}, 4);
    tables.finish(6);
    expect_cpu_row(tables, true);
  }
}

TEST_F(KernelsOnHistograms, MoreBinsThanFitInSharedMemory) {
  HandTables tables(11);
  tables.add_link({66, 300}, Dtype::kFloat32, Layout::kContiguous, true);
  tables.finish(2000);
  expect_cpu_row(tables, true);
}

TEST_F(KernelsOnHistograms, NotAskedForIsMinusOne) {
  HandTables tables(12);
  tables.add_link({20, 30}, Dtype::kFloat32, Layout::kContiguous, true);
  tables.finish(5);
  expect_cpu_row(tables, false);
}

TEST_F(KernelsOnNothing, EmptyTablesWriteNothing) {
  HandTables tables(13);
  tables.finish(0);
  expect_cpu_row(tables, false);
}

TEST_F(KernelsOnPartials, RepeatedRowsAreEqualUnderManyOrdersOfThreads) {
  HandTables tables(14);
  tables.add_link({70, 300}, Dtype::kFloat32, Layout::kContiguous, true, true);
  tables.add_link({30, 20, {1, 3, 3}}, Dtype::kFloat16, Layout::kContiguous, true, true);
  tables.add_node(20, {3, 3}, 6);
  tables.add_copy(1);
  tables.finish(16);
  expect_cpu_row(tables, true, 0, 12);
}

}  // namespace
}  // namespace dynascope::test
