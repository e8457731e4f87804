// SPDX-License-Identifier: BSD-3-Clause

// The first pass by the letter of src/engine/tree.hpp, value by value, against the kernels of every instruction set of
// this machine: equal bits. The kernels for the device are compared with the same passes in tests/cuda.

#include "engine/arithmetic.hpp"
#include "engine/backend.hpp"
#include "engine/cpu/kernels.hpp"
#include "engine/cpu/passes.hpp"
#include "hand_network.hpp"
#include "instruction_sets.hpp"

#include <cstring>
#include <random>

namespace dynascope::test {
namespace {

using engine::Dtype;
using engine::Matrix;
using engine::Moments;
using engine::Plan;
using engine::Tables;
using engine::Tile;
namespace cpu = engine::cpu;

template <typename Short>
Short folded(std::vector<Short> values) {
  values.resize(static_cast<size_t>(engine::fold_count(static_cast<int>(values.size()))));
  return engine::fold(values.data(), static_cast<int>(values.size()), [](Short a, Short b) { return a + b; });
}

// The columns of one row and tap: kShortLevels halvings in Short, then in float64.
template <typename Short>
double folded_columns(std::vector<Short> values) {
  values.resize(static_cast<size_t>(engine::fold_count(static_cast<int>(values.size()))));
  size_t half = values.size() / 2;
  for (int level = 0; level < engine::kShortLevels && half > 0; ++level, half /= 2) {
    for (size_t i = 0; i < half; ++i) {
      values[i] = values[i] + values[i + half];
    }
  }
  values.resize(half > 0 ? 2 * half : 1);
  return folded(std::vector<double>(values.begin(), values.end()));
}

struct TileSums {
  std::vector<double> rows, columns;  // (rows, taps), (lanes,)
  Moments moments;
};

class Reference {
 public:
  Reference(const Tables& tables, int64_t index)
      : tile_(tables.tiles[index]), matrix_(tables.matrices[tile_.matrix]), lanes_(tile_.columns * tile_.taps) {}

  TileSums sums() const {
    if (matrix_.dtype != Dtype::kFloat64) {
      TileSums sums = added<float>(0.0);
      engine::PlainSums plain{int64_t{tile_.rows} * lanes_,      folded(sums.columns), lane_sum<float>(kSquares, 0.0),
                              lane_sum<float>(kMagnitudes, 0.0), bound(true),          bound(false)};
      if (engine::is_plain(plain)) {
        sums.moments = engine::moments_of_plain(plain);
        return sums;
      }
    }
    const double shift = engine::shift_of(value(0, 0));
    TileSums sums = added<double>(shift);
    int64_t nonfinite = 0;
    for (int row = 0; row < tile_.rows; ++row) {
      for (int lane = 0; lane < lanes_; ++lane) {
        nonfinite += engine::is_finite(value(row, lane)) ? 0 : 1;
      }
    }
    sums.moments = engine::moments_of(
        {int64_t{tile_.rows} * lanes_, nonfinite, lane_sum<double>(kDifferences, shift),
         lane_sum<double>(kSquares, shift), lane_sum<double>(kMagnitudes, shift), bound(true), bound(false)},
        shift);
    return sums;
  }

 private:
  enum What { kValues, kDifferences, kSquares, kMagnitudes };

  double value(int row, int lane) const {
    const int64_t offset =
        engine::lane_offset(matrix_, tile_.first_column + lane / tile_.taps, tile_.first_tap + lane % tile_.taps);
    return engine::load(matrix_.data, matrix_.dtype, (tile_.first_row + row) * matrix_.row_stride + offset);
  }

  template <typename Short>
  double lane(What what, double shift, int lane) const {
    double sum = 0.0;
    for (int first = 0; first < tile_.rows; first += engine::kRunRows) {
      std::vector<Short> run(engine::kRunRows, Short{0});
      for (int i = 0; i < engine::kRunRows && first + i < tile_.rows; ++i) {
        const auto plain = static_cast<Short>(value(first + i, lane));
        const Short difference = plain - static_cast<Short>(shift);
        run[static_cast<size_t>(i)] = what == kValues        ? plain
                                      : what == kDifferences ? difference
                                      : what == kSquares     ? difference * difference
                                                             : std::abs(plain);
      }
      sum += static_cast<double>(folded(run));
    }
    return sum;
  }

  template <typename Short>
  double lane_sum(What what, double shift) const {
    std::vector<double> lanes;
    for (int i = 0; i < lanes_; ++i) {
      lanes.push_back(lane<Short>(what, shift, i));
    }
    return folded(lanes);
  }

  double bound(bool low) const {
    double bound = std::numeric_limits<double>::infinity() * (low ? 1.0 : -1.0);
    for (int row = 0; row < tile_.rows; ++row) {
      for (int lane = 0; lane < lanes_; ++lane) {
        const double here = value(row, lane);
        if (engine::is_finite(here)) {
          bound = low ? std::min(bound, here) : std::max(bound, here);
        }
      }
    }
    return bound;
  }

  template <typename Short>
  TileSums added(double shift) const {
    TileSums sums;
    for (int row = 0; row < tile_.rows; ++row) {
      for (int tap = 0; tap < tile_.taps; ++tap) {
        std::vector<Short> columns;
        for (int column = 0; column < tile_.columns; ++column) {
          columns.push_back(static_cast<Short>(value(row, column * tile_.taps + tap)));
        }
        sums.rows.push_back(folded_columns(columns));
      }
    }
    for (int i = 0; i < lanes_; ++i) {
      sums.columns.push_back(lane<Short>(kValues, shift, i));
    }
    return sums;
  }

  const Tile& tile_;
  const Matrix& matrix_;
  int lanes_;
};

bool same_bits(double a, double b) {
  const double x = engine::canonical(a);
  const double y = engine::canonical(b);
  return std::memcmp(&x, &y, sizeof x) == 0;
}

void expect_reference(const at::Tensor& weight) {
  const Plan plan(single_weight(weight), {});
  Tables tables = plan.tables();
  std::vector<double> workspace(static_cast<size_t>(plan.workspace_doubles()));
  std::vector<Moments> moments(static_cast<size_t>(tables.moment_count));
  std::vector<double> row(static_cast<size_t>(plan.layout().bytes() / 8));
  tables.workspace = workspace.data();
  tables.moments = moments.data();
  cpu::reduce(tables, reinterpret_cast<std::byte*>(row.data()), false);
  for (int64_t index = 0; index < tables.tile_count; ++index) {
    SCOPED_TRACE("tile " + std::to_string(index));
    const Tile& tile = tables.tiles[index];
    const Matrix& matrix = tables.matrices[tile.matrix];
    const engine::TilePosition position = engine::position_of(matrix, index);
    const TileSums expected = Reference(tables, index).sums();
    for (int i = 0; i < tile.rows * tile.taps; ++i) {
      const int64_t at =
          engine::row_partial(matrix, tile.first_row + i / tile.taps, tile.first_tap + i % tile.taps, position);
      ASSERT_TRUE(same_bits(workspace[static_cast<size_t>(at)], expected.rows[static_cast<size_t>(i)]))
          << "row " << i / tile.taps << " tap " << i % tile.taps;
    }
    for (int i = 0; i < tile.columns * tile.taps; ++i) {
      const int64_t at =
          engine::column_partial(matrix, tile.first_column + i / tile.taps, tile.first_tap + i % tile.taps, position);
      ASSERT_TRUE(same_bits(workspace[static_cast<size_t>(at)], expected.columns[static_cast<size_t>(i)]))
          << "lane " << i;
    }
    const Moments& actual = moments[static_cast<size_t>(index)];
    EXPECT_EQ(actual.count, expected.moments.count);
    EXPECT_EQ(actual.nonfinite, expected.moments.nonfinite);
    EXPECT_TRUE(same_bits(actual.mean, expected.moments.mean)) << actual.mean << " " << expected.moments.mean;
    EXPECT_TRUE(same_bits(actual.m2, expected.moments.m2)) << actual.m2 << " " << expected.moments.m2;
    EXPECT_TRUE(same_bits(actual.abs_sum, expected.moments.abs_sum));
    EXPECT_TRUE(same_bits(actual.min, expected.moments.min));
    EXPECT_TRUE(same_bits(actual.max, expected.moments.max));
  }
}

at::Tensor random_weight(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](int64_t least, int64_t most) {
    return least + static_cast<int64_t>(random() % static_cast<uint64_t>(most - least + 1));
  };
  std::vector<int64_t> shape = {pick(1, 80), pick(1, 300)};
  if (seed % 4 == 1) {
    shape = {pick(1, 30), pick(1, 40), 3, 3};
  } else if (seed % 4 == 2) {
    shape = {pick(1, 30), pick(1, 12), pick(1, 7), pick(1, 7)};
  } else if (seed % 4 == 3) {
    shape = {pick(1, 30), pick(1, 40)};
  }
  torch::manual_seed(seed);
  at::Tensor weight = torch::randn(shape, at::kDouble) * 0.02;
  const std::vector<double> scales = {1, 1, 1, 1, 1e30, 1e-30, 1e-42};
  weight *= scales[static_cast<size_t>(pick(0, 6))];
  if (pick(0, 3) == 0) {
    weight += std::pow(10.0, static_cast<double>(pick(-3, 6)));
  }
  if (pick(0, 5) == 0) {
    const std::vector<double> odd = {NAN, INFINITY, -INFINITY, 0.0, 3e38, -1e-44};
    weight.view({-1})[pick(0, weight.numel() - 1)] = odd[static_cast<size_t>(pick(0, 5))];
  }
  weight = weight.to(
      std::vector{at::kFloat, at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}[static_cast<size_t>(pick(0, 4))]);
  return pick(0, 3) == 0 ? weight.transpose(0, 1).contiguous().transpose(0, 1) : weight;
}

class Tree : public OnInstructionSet {};

INSTANTIATE_TEST_SUITE_P(InstructionSets, Tree, instruction_sets(), instruction_set_name);

TEST_P(Tree, RandomWeightsAreAddedToTheLetter) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_reference(random_weight(seed));
    if (HasFailure()) {
      return;
    }
  }
}

TEST_P(Tree, TallTilesAreAddedToTheLetter) {
  torch::manual_seed(1);
  expect_reference(torch::randn({1100, 4097}));
}

TEST_P(Tree, WholeRowsHaveTheSameBits) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    torch::manual_seed(seed);
    const Plan plan(chain({{torch::randn({70, 300}), torch::randn({70})}, {torch::randn({5000, 70}), {}}}), {});
    const auto row = [&] {
      const auto backend = engine::make_backend(plan, 1);
      backend->measure(0, false);
      return std::vector<std::byte>(backend->row(0), backend->row(0) + plan.layout().bytes());
    };
    const std::vector<std::byte> here = row();
    cpu::use(cpu::InstructionSet::kBaseline);
    EXPECT_EQ(row(), here);
    cpu::use(GetParam());
  }
}

}  // namespace
}  // namespace dynascope::test
