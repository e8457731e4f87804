// SPDX-License-Identifier: BSD-3-Clause
#include "hand_tables.hpp"

#include "engine/arithmetic.hpp"
#include "engine/tree.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace dynascope::test {
namespace {

using engine::Dtype;
using engine::Matrix;

int64_t size_of(Dtype dtype) { return dtype == Dtype::kFloat64 ? 8 : dtype == Dtype::kFloat32 ? 4 : 2; }

int64_t blocks_of(int64_t size, int64_t block) { return (size + block - 1) / block; }

// Truncates to bfloat16; for float16 takes the upper bits of the mantissa of a value in its normal range.
uint16_t half_bits(double value, Dtype dtype) {
  const auto narrow = static_cast<float>(value);
  uint32_t bits = 0;
  std::memcpy(&bits, &narrow, sizeof bits);
  if (dtype == Dtype::kBFloat16) {
    return static_cast<uint16_t>(bits >> 16);
  }
  const uint32_t sign = bits >> 16 & 0x8000U;
  const uint32_t mantissa = bits >> 13 & 0x3FFU;
  const int exponent = static_cast<int>(bits >> 23 & 0xFFU) - 112;
  if (exponent >= 31) {
    const bool nan = value != value;
    return static_cast<uint16_t>(sign | 0x7C00U | (nan ? 0x200U : 0U));
  }
  if (exponent <= 0) {
    return static_cast<uint16_t>(sign | mantissa >> 1);  // subnormal
  }
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent) << 10 | mantissa);
}

void store_value(std::byte* target, Dtype dtype, double value) {
  if (dtype == Dtype::kFloat64) {
    std::memcpy(target, &value, sizeof value);
  } else if (dtype == Dtype::kFloat32) {
    const auto narrow = static_cast<float>(value);
    std::memcpy(target, &narrow, sizeof narrow);
  } else {
    const uint16_t bits = half_bits(value, dtype);
    std::memcpy(target, &bits, sizeof bits);
  }
}

std::byte* address(const Matrix& matrix, int64_t row, int64_t column, int64_t tap) {
  const int64_t element = row * matrix.row_stride + engine::lane_offset(matrix, column, tap);
  return static_cast<std::byte*>(const_cast<void*>(matrix.data)) + element * size_of(matrix.dtype);
}

}  // namespace

int64_t HandTables::pick(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random_);
}

double HandTables::normal() { return std::normal_distribution<double>()(random_); }

int32_t HandTables::add_link(const Shape& shape, Dtype dtype, Layout layout, bool bias, bool plain) {
  const auto link = static_cast<int32_t>(links_.size());
  links_.push_back({static_cast<int32_t>(matrices_.size()), bias ? 2 : 1, plain ? 0 : -1, plain ? 0 : -1});
  add_matrix(shape, dtype, layout, link);
  if (bias) {
    add_matrix({1, shape.rows}, dtype, Layout::kContiguous, link);
  }
  return link;
}

void HandTables::add_matrix(const Shape& shape, Dtype dtype, Layout layout, int32_t link) {
  Matrix matrix{};
  matrix.dtype = dtype;
  matrix.weight_layer = link;
  matrix.rows = shape.rows;
  matrix.columns = shape.columns;
  matrix.groups = shape.groups;
  matrix.taps = shape.kernel[0] * shape.kernel[1] * shape.kernel[2];
  std::copy_n(shape.kernel, 3, matrix.kernel);
  matrix.tap_stride[2] = 1;
  matrix.tap_stride[1] = shape.kernel[2];
  matrix.tap_stride[0] = shape.kernel[1] * shape.kernel[2];
  matrix.column_stride = matrix.taps;
  matrix.row_stride = matrix.columns * matrix.taps + (layout == Layout::kPadded ? 5 : 0);
  if (layout == Layout::kTransposed) {
    matrix.row_stride = matrix.taps;
    matrix.column_stride = matrix.rows * matrix.taps;
  }
  // Exactly as long as needed, so that the sanitizers see every element too far.
  const int64_t offset = layout == Layout::kMisaligned ? 1 : 0;
  const int64_t last =
      matrix.rows == 0 || matrix.columns * matrix.taps == 0
          ? -1
          : (matrix.rows - 1) * matrix.row_stride + (matrix.columns - 1) * matrix.column_stride + matrix.taps - 1;
  memory_.emplace_back(static_cast<size_t>((offset + last + 1) * size_of(dtype)));
  matrix.data = memory_.back().data() + offset * size_of(dtype);
  for (int64_t row = 0; row < matrix.rows; ++row) {
    for (int64_t column = 0; column < matrix.columns; ++column) {
      for (int64_t tap = 0; tap < matrix.taps; ++tap) {
        store_value(address(matrix, row, column, tap), dtype, normal());
      }
    }
  }
  add_tiles(matrix, shape.tile_rows > 0 ? shape.tile_rows : engine::tile_rows(matrix));
  matrices_.push_back(matrix);
}

void HandTables::add_tiles(Matrix& matrix, int64_t tile_rows) {
  const auto take = [&](int64_t doubles) { return std::exchange(workspace_, workspace_ + doubles); };
  const int64_t group_rows = matrix.rows / matrix.groups;
  const int64_t tile_taps = std::min<int64_t>(matrix.taps, engine::kTileLanes);
  const int64_t tile_columns = engine::tile_columns(matrix);
  const bool empty = group_rows == 0 || matrix.columns == 0;
  matrix.row_blocks = empty ? 0 : blocks_of(group_rows, tile_rows);
  matrix.column_blocks = empty ? 0 : blocks_of(matrix.columns, tile_columns);
  matrix.tap_blocks = empty ? 0 : blocks_of(matrix.taps, tile_taps);
  matrix.first_tile = static_cast<int64_t>(tiles_.size());
  matrix.row_sums = take(matrix.rows * matrix.taps);
  matrix.column_sums = take(matrix.groups * matrix.columns * matrix.taps);
  matrix.row_partials =
      matrix.column_blocks == 1 ? matrix.row_sums : take(matrix.rows * matrix.taps * matrix.column_blocks);
  matrix.column_partials = matrix.row_blocks == 1
                               ? matrix.column_sums
                               : take(matrix.groups * matrix.row_blocks * matrix.columns * matrix.taps);
  const auto index = static_cast<int32_t>(matrices_.size());
  const auto part = [](int64_t size, int64_t first, int64_t block) {
    return static_cast<int32_t>(std::min(block, size - first));
  };
  for (int64_t group = 0; group < (empty ? 0 : matrix.groups); ++group) {
    for (int64_t row = 0; row < group_rows; row += tile_rows) {
      for (int64_t column = 0; column < matrix.columns; column += tile_columns) {
        for (int64_t tap = 0; tap < matrix.taps; tap += tile_taps) {
          tiles_.push_back({index, part(group_rows, row, tile_rows), part(matrix.columns, column, tile_columns),
                            part(matrix.taps, tap, tile_taps), group * group_rows + row, column, tap});
        }
      }
    }
  }
}

void HandTables::add_node(int64_t channels, std::vector<int64_t> classes, int terms) {
  engine::NodePlan node{};
  node.positions = 1;
  for (const int64_t size : classes) {
    node.positions *= size;
  }
  node.units = channels * node.positions;
  node.in_constant = static_cast<double>(pick(0, 1));
  node.out_constant = static_cast<double>(pick(0, 1));
  node.multiplicity = static_cast<int64_t>(indices_.size());
  for (int64_t unit = 0; unit < node.units; ++unit) {
    indices_.push_back(pick(1, 50));
  }
  node.first_term = static_cast<int32_t>(terms_.size());
  node.terms = terms;
  for (int i = 0; i < terms; ++i) {
    terms_.push_back(random_term(node));
  }
  nodes_.push_back(node);
}

engine::Term HandTables::random_term(const engine::NodePlan& node) {
  const Matrix& matrix = matrices_[static_cast<size_t>(pick(0, static_cast<int64_t>(matrices_.size()) - 1))];
  const bool rows = pick(0, 1) == 0;
  const int64_t count = rows ? matrix.rows : matrix.groups * matrix.columns;
  engine::Term term{};
  term.sums = rows ? matrix.row_sums : matrix.column_sums;
  term.outgoing = static_cast<int32_t>(pick(0, 1));
  term.per_unit = static_cast<int32_t>(pick(0, 1));
  const int64_t units = term.per_unit != 0 ? node.units : node.units / node.positions;
  // All units within reach by the affine rule, or by an order with holes.
  term.blocks = pick(1, 3);
  term.order = -1;
  if (units * term.blocks <= count && pick(0, 1) == 0) {
    term.stride = 1;
    term.block_stride = units;
    term.first = pick(0, count - units * term.blocks);
  } else {
    term.blocks = count > 0 ? 1 : 0;
    term.order = static_cast<int64_t>(indices_.size());
    for (int64_t unit = 0; unit < units; ++unit) {
      indices_.push_back(count > 0 && pick(0, 4) > 0 ? pick(0, count - 1) : -1);
    }
  }
  term.taps = matrix.taps;
  term.coefficients = -1;
  if (pick(0, 3) > 0) {
    term.coefficients = static_cast<int64_t>(coefficients_.size());
    for (int64_t i = 0; i < term.taps * node.positions; ++i) {
      coefficients_.push_back(0.5 * static_cast<double>(pick(0, 2)));
    }
  }
  return term;
}

void HandTables::add_copy(int32_t link) {
  const Matrix& matrix = matrices_[static_cast<size_t>(links_[static_cast<size_t>(link)].first_matrix)];
  engine::Copy copy{};
  copy.data = matrix.data;
  copy.dtype = matrix.dtype;
  copy.to_float64 = matrix.dtype == Dtype::kFloat64 ? 1 : 0;
  const int64_t sizes[6] = {1, matrix.rows, matrix.columns, matrix.kernel[0], matrix.kernel[1], matrix.kernel[2]};
  const int64_t strides[6] = {
      0, matrix.row_stride, matrix.column_stride, matrix.tap_stride[0], matrix.tap_stride[1], matrix.tap_stride[2]};
  std::copy_n(sizes, 6, copy.sizes);
  std::copy_n(strides, 6, copy.strides);
  copy.count = matrix.rows * matrix.columns * matrix.taps;
  copies_.push_back(copy);
}

void HandTables::set_value(int32_t link, int64_t row, int64_t column, int64_t tap, double value) {
  const Matrix& matrix = matrices_[static_cast<size_t>(links_[static_cast<size_t>(link)].first_matrix)];
  store_value(address(matrix, row, column, tap), matrix.dtype, value);
}

void HandTables::scale(int32_t link, double factor, double offset) {
  const Matrix& matrix = matrices_[static_cast<size_t>(links_[static_cast<size_t>(link)].first_matrix)];
  for (int64_t row = 0; row < matrix.rows; ++row) {
    for (int64_t column = 0; column < matrix.columns; ++column) {
      for (int64_t tap = 0; tap < matrix.taps; ++tap) {
        const int64_t element = row * matrix.row_stride + engine::lane_offset(matrix, column, tap);
        store_value(address(matrix, row, column, tap), matrix.dtype,
                    offset + factor * engine::load(matrix.data, matrix.dtype, element));
      }
    }
  }
}

int64_t HandTables::place(int64_t bytes) { return std::exchange(row_bytes_, row_bytes_ + (bytes + 7) / 8 * 8); }

void HandTables::finish(int64_t bins) {
  const auto links = static_cast<int64_t>(links_.size());
  const auto nodes = static_cast<int64_t>(nodes_.size());
  engine::RowOffsets& offsets = tables_.offsets;
  for (int64_t* offset : {&offsets.fluctuation, &offsets.strength_mean, &offsets.strength_min, &offsets.strength_max,
                          &offsets.nodes_nonfinite}) {
    *offset = place(8 * nodes);
  }
  for (int64_t* offset : {&offsets.mean, &offsets.std, &offsets.min, &offsets.max, &offsets.abs_mean, &offsets.norm,
                          &offsets.links_nonfinite}) {
    *offset = place(8 * links);
  }
  offsets.histogram = bins > 0 ? place(8 * links * (bins + 2)) : -1;
  int64_t moments = static_cast<int64_t>(tiles_.size());
  for (engine::NodePlan& node : nodes_) {
    node.first_moments = moments;
    moments += blocks_of(node.units, engine::kSummaryUnits);
    node.strength = place(4 * node.units);
    node.in_strength = pick(0, 1) == 0 ? -1 : place(4 * node.units);
    node.out_strength = pick(0, 1) == 0 ? -1 : place(4 * node.units);
  }
  for (engine::LinkPlan& link : links_) {
    const Matrix& matrix = matrices_[static_cast<size_t>(link.first_matrix)];
    link.row_sum = link.row_sum < 0 ? -1 : place(4 * matrix.rows);
    link.column_sum = link.column_sum < 0 ? -1 : place(4 * matrix.columns * matrix.taps);
  }
  for (engine::Copy& copy : copies_) {
    copy.target = place((copy.to_float64 != 0 ? 8 : 4) * copy.count);
  }
  // Bins of unequal width that leave values on both sides.
  for (int64_t link = 0; link < links; ++link) {
    for (int64_t edge = 0; edge < bins + (bins > 0 ? 1 : 0); ++edge) {
      edges_.push_back(-2.0 + 4.0 * static_cast<double>(edge) / static_cast<double>(bins) +
                       (edge % 3 == 1 ? 0.9 / static_cast<double>(bins) : 0.0));
    }
  }
  tables_.matrices = matrices_.data();
  tables_.tiles = tiles_.data();
  tables_.links = links_.data();
  tables_.nodes = nodes_.data();
  tables_.terms = terms_.data();
  tables_.coefficients = coefficients_.data();
  tables_.indices = indices_.data();
  tables_.histogram_edges = edges_.data();
  tables_.copies = copies_.data();
  tables_.matrix_count = static_cast<int64_t>(matrices_.size());
  tables_.tile_count = static_cast<int64_t>(tiles_.size());
  tables_.link_count = links;
  tables_.node_count = nodes;
  tables_.copy_count = static_cast<int64_t>(copies_.size());
  tables_.term_count = static_cast<int64_t>(terms_.size());
  tables_.coefficient_count = static_cast<int64_t>(coefficients_.size());
  tables_.index_count = static_cast<int64_t>(indices_.size());
  tables_.moment_count = moments;
  tables_.histogram_bins = bins;
}

}  // namespace dynascope::test
