// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What is done to single values, for host and device alike: conversion, the sums of one lane, statistics, the strength
// of one unit, and where results go in a row. Together with tree.hpp (the order of additions) this fixes every bit.

#include "tables.hpp"
#include "tree.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dynascope::engine {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

DYNASCOPE_HD inline float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

DYNASCOPE_HD inline double to_double(double value) { return value; }
DYNASCOPE_HD inline double to_double(float value) { return static_cast<double>(value); }
DYNASCOPE_HD inline double to_double(BFloat16 value) {
  return static_cast<double>(float_of_bits(static_cast<uint32_t>(value.bits) << 16));
}
DYNASCOPE_HD inline double to_double(Float16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000U) << 16;
  const uint32_t exponent = (value.bits >> 10) & 0x1FU;
  const uint32_t mantissa = value.bits & 0x3FFU;
  if (exponent == 0x1FU) {
    return static_cast<double>(float_of_bits(sign | 0x7F800000U | (mantissa << 13)));
  }
  if (exponent != 0) {
    return static_cast<double>(float_of_bits(sign | ((exponent + 112U) << 23) | (mantissa << 13)));
  }
  const double subnormal = static_cast<double>(mantissa) * (1.0 / 16777216.0);
  return sign != 0 ? -subnormal : subnormal;
}

/// Element `index` of an array of `dtype`.
DYNASCOPE_HD inline double load(const void* data, Dtype dtype, int64_t index) {
  switch (dtype) {
    case Dtype::kFloat64:
      return static_cast<const double*>(data)[index];
    case Dtype::kBFloat16:
      return to_double(static_cast<const BFloat16*>(data)[index]);
    case Dtype::kFloat16:
      return to_double(static_cast<const Float16*>(data)[index]);
    default:
      return to_double(static_cast<const float*>(data)[index]);
  }
}

DYNASCOPE_HD inline bool is_finite(double value) { return value - value == 0.0; }

/// Elements between the matrix' first and lane (column, tap) of row 0.
DYNASCOPE_HD inline int64_t lane_offset(const Matrix& matrix, int64_t column, int64_t tap) {
  const int64_t last = tap % matrix.kernel[2];
  const int64_t rest = tap / matrix.kernel[2];
  return column * matrix.column_stride + rest / matrix.kernel[1] * matrix.tap_stride[0] +
         rest % matrix.kernel[1] * matrix.tap_stride[1] + last * matrix.tap_stride[2];
}

/// Where a tile stands among those of its matrix.
struct TilePosition {
  int64_t group, row_block, column_block;
};

DYNASCOPE_HD inline TilePosition position_of(const Matrix& matrix, int64_t tile) {
  const int64_t block = (tile - matrix.first_tile) / matrix.tap_blocks;
  const int64_t row_block = block / matrix.column_blocks;
  return {row_block / matrix.row_blocks, row_block % matrix.row_blocks, block % matrix.column_blocks};
}

/// Where a tile's partial of (row, tap) goes; `row` counts in the matrix.
DYNASCOPE_HD inline int64_t row_partial(const Matrix& matrix, int64_t row, int64_t tap, const TilePosition& position) {
  return matrix.row_partials + (position.column_block * matrix.rows + row) * matrix.taps + tap;
}

/// Where a tile's partial of (column, tap) goes; `column` counts in the group.
DYNASCOPE_HD inline int64_t column_partial(const Matrix& matrix, int64_t column, int64_t tap,
                                           const TilePosition& position) {
  const int64_t block = position.group * matrix.row_blocks + position.row_block;
  return matrix.column_partials + (block * matrix.columns + column) * matrix.taps + tap;
}

/// What one lane gathers about a shift that all lanes share.
struct LaneSums {
  int64_t count, nonfinite;
  double sum, squares;  ///< of the differences from the shift
  double abs_sum;
  double min, max;  ///< over finite values
};

DYNASCOPE_HD inline LaneSums no_sums() {
  return {0, 0, 0.0, 0.0, 0.0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
}

/// The shift of a tile or node layer whose first value is `first`.
DYNASCOPE_HD inline double shift_of(double first) { return is_finite(first) ? first : 0.0; }

DYNASCOPE_HD inline void bound(LaneSums& sums, double value, int64_t multiplicity) {
  if (is_finite(value)) {
    sums.min = value < sums.min ? value : sums.min;
    sums.max = value > sums.max ? value : sums.max;
  } else {
    sums.nonfinite += multiplicity;
  }
  sums.count += multiplicity;
}

DYNASCOPE_HD inline void add(LaneSums& sums, double value, double shift) {
  const double difference = value - shift;
  sums.sum += difference;
  sums.squares += difference * difference;
  sums.abs_sum += fabs(value);
  bound(sums, value, 1);
}

/// The same for a value that stands for `multiplicity` equal ones.
DYNASCOPE_HD inline void add(LaneSums& sums, double value, double shift, int64_t multiplicity) {
  const double times = static_cast<double>(multiplicity);
  const double difference = value - shift;
  sums.sum += times * difference;
  sums.squares += times * (difference * difference);
  sums.abs_sum += times * fabs(value);
  bound(sums, value, multiplicity);
}

/// Two lanes of one shift together: the step of fold().
DYNASCOPE_HD inline LaneSums join(const LaneSums& a, const LaneSums& b) {
  return {a.count + b.count,
          a.nonfinite + b.nonfinite,
          a.sum + b.sum,
          a.squares + b.squares,
          a.abs_sum + b.abs_sum,
          b.min < a.min ? b.min : a.min,
          b.max > a.max ? b.max : a.max};
}

DYNASCOPE_HD inline Moments moments_of(const LaneSums& sums, double shift) {
  if (sums.count == 0) {
    return no_moments();
  }
  const double count = static_cast<double>(sums.count);
  const double offset = sums.sum / count;
  const double m2 = sums.squares - sums.sum * offset;
  return {sums.count, sums.nonfinite, shift + offset, m2 < 0.0 ? 0.0 : m2, sums.abs_sum, sums.min, sums.max};
}

/// The sums of a tile as they are first added, with short sums in float32.
struct PlainSums {
  int64_t count;
  double sum, squares, abs_sum;
  double min, max;
};

/// True when `sums` are all there is to know: nothing overflowed, no square was lost to underflow, and the mean is no
/// larger than the spread, so that m2 keeps the digits of the squares. False where a value is not finite.
DYNASCOPE_HD inline bool is_plain(const PlainSums& sums) {
  constexpr double kLargest = 3.4028234663852886e38;
  constexpr double kSmallest = 1.1754943508222875e-38;  // of a normal float32
  const double count = static_cast<double>(sums.count);
  const double of_mean = sums.sum * (sums.sum / count);
  const bool all_zero = sums.min == 0.0 && sums.max == 0.0;
  return sums.squares <= kLargest * count && (all_zero || sums.squares >= kSmallest * count) &&
         sums.squares - of_mean >= of_mean;
}

DYNASCOPE_HD inline Moments moments_of_plain(const PlainSums& sums) {
  const double mean = sums.sum / static_cast<double>(sums.count);
  return {sums.count, 0, mean, sums.squares - sums.sum * mean, sums.abs_sum, sums.min, sums.max};
}

/// What is written of a set of values; NaN where the set has none, or none that is finite.
struct Statistics {
  double mean, std, min, max, abs_mean, norm;
  int64_t nonfinite;
};

DYNASCOPE_HD inline Statistics statistics_of(const Moments& moments) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const bool bounded = moments.nonfinite < moments.count;
  Statistics statistics{
      nan, nan, bounded ? moments.min : nan, bounded ? moments.max : nan, nan, nan, moments.nonfinite};
  if (moments.count > 0 && moments.nonfinite == 0) {
    const double count = static_cast<double>(moments.count);
    statistics.mean = moments.mean;
    statistics.std = sqrt(moments.m2 / count);
    statistics.abs_mean = moments.abs_sum / count;
    statistics.norm = sqrt(moments.m2 + count * (moments.mean * moments.mean));
  }
  return statistics;
}

DYNASCOPE_HD inline void store(std::byte* row, int64_t offset, int64_t index, int64_t value) {
  reinterpret_cast<int64_t*>(row + offset)[index] = value;
}
DYNASCOPE_HD inline void store(std::byte* row, int64_t offset, int64_t index, double value) {
  reinterpret_cast<double*>(row + offset)[index] = canonical(value);
}
DYNASCOPE_HD inline void store_float(std::byte* row, int64_t offset, int64_t index, double value) {
  reinterpret_cast<float*>(row + offset)[index] = canonical(static_cast<float>(value));
}

/// Writes the link-weight statistics of weight layer `link`.
DYNASCOPE_HD inline void store_link(const RowOffsets& offsets, std::byte* row, int64_t link, const Moments& moments) {
  const Statistics statistics = statistics_of(moments);
  store(row, offsets.mean, link, statistics.mean);
  store(row, offsets.std, link, statistics.std);
  store(row, offsets.min, link, statistics.min);
  store(row, offsets.max, link, statistics.max);
  store(row, offsets.abs_mean, link, statistics.abs_mean);
  store(row, offsets.norm, link, statistics.norm);
  store(row, offsets.links_nonfinite, link, statistics.nonfinite);
}

/// Writes the summary of node layer `layer`.
DYNASCOPE_HD inline void store_node(const RowOffsets& offsets, std::byte* row, int64_t layer, const Moments& moments) {
  const Statistics statistics = statistics_of(moments);
  store(row, offsets.fluctuation, layer, statistics.std);
  store(row, offsets.strength_mean, layer, statistics.mean);
  store(row, offsets.strength_min, layer, statistics.min);
  store(row, offsets.strength_max, layer, statistics.max);
  store(row, offsets.nodes_nonfinite, layer, statistics.nonfinite);
}

/// Plain sum of one row or column: its taps in order. `sums` (., taps), `index` the row, or group * columns + column.
DYNASCOPE_HD inline double plain_sum(const double* sums, int64_t taps, int64_t index) {
  double sum = 0.0;
  for (int64_t tap = 0; tap < taps; ++tap) {
    sum += sums[index * taps + tap];
  }
  return sum;
}

/// Where unit m of a term is found in its sums, blocks aside; -1: no link.
DYNASCOPE_HD inline int64_t index_of(const Tables& tables, const Term& term, int64_t m) {
  return term.order < 0 ? term.first + m * term.stride : tables.indices[term.order + m];
}

/// One term of the strength of stored unit `unit`: blocks, then taps, in order.
DYNASCOPE_HD inline double contribution_of(const Tables& tables, const NodePlan& node, const Term& term, int64_t unit) {
  const int64_t position = unit % node.positions;
  const int64_t index = index_of(tables, term, term.per_unit != 0 ? unit : unit / node.positions);
  if (index < 0) {
    return 0.0;
  }
  double sum = 0.0;
  for (int64_t block = 0; block < term.blocks; ++block) {
    const double* values = nullptr;  // of identity links: ones
    if (term.sums >= 0) {
      values = tables.workspace + term.sums + (index + block * term.block_stride) * term.taps;
    }
    for (int64_t tap = 0; tap < term.taps; ++tap) {
      const double coefficient =
          term.coefficients < 0 ? 1.0 : tables.coefficients[term.coefficients + tap * node.positions + position];
      if (coefficient != 0.0) {
        sum += values == nullptr ? coefficient : values[tap] * coefficient;
      }
    }
  }
  return sum;
}

struct UnitStrength {
  double in, out;
};

/// Strengths of stored unit `unit` of a node layer: the boundary's constants, then the terms in order.
DYNASCOPE_HD inline UnitStrength strength_of(const Tables& tables, const NodePlan& node, int64_t unit) {
  UnitStrength strength{node.in_constant, node.out_constant};
  for (int32_t i = 0; i < node.terms; ++i) {
    const Term& term = tables.terms[node.first_term + i];
    const double value = contribution_of(tables, node, term, unit);
    if (term.outgoing != 0) {
      strength.out += value;
    } else {
      strength.in += value;
    }
  }
  return strength;
}

/// Writes the strengths of one stored unit.
DYNASCOPE_HD inline void store_unit(const NodePlan& node, std::byte* row, int64_t unit, const UnitStrength& strength) {
  store_float(row, node.strength, unit, strength.in + strength.out);
  if (node.in_strength >= 0) {
    store_float(row, node.in_strength, unit, strength.in);
  }
  if (node.out_strength >= 0) {
    store_float(row, node.out_strength, unit, strength.out);
  }
}

/// Writes value `index` of a recorded parameter.
DYNASCOPE_HD inline void store_copy(const Copy& copy, std::byte* row, int64_t index) {
  int64_t offset = 0;
  int64_t rest = index;
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int axis = 5; axis >= 0; --axis) {
    offset += rest % copy.sizes[axis] * copy.strides[axis];
    rest /= copy.sizes[axis];
  }
  const double value = load(copy.data, copy.dtype, offset);
  if (copy.to_float64 != 0) {
    store(row, copy.target, index, value);
  } else {
    store_float(row, copy.target, index, value);
  }
}

/// The bins of one weight layer. `edges` (bins + 1,) ascending; [a, b), the last bin closed.
struct HistogramAxis {
  const double* edges;
  int64_t bins;
  double low, high;
  double scale;  ///< bins per unit, if they are equally wide
};

DYNASCOPE_HD inline HistogramAxis histogram_axis(const Tables& tables, int64_t link) {
  const double* edges = tables.histogram_edges + link * (tables.histogram_bins + 1);
  const double low = edges[0];
  const double high = edges[tables.histogram_bins];
  return {edges, tables.histogram_bins, low, high, static_cast<double>(tables.histogram_bins) / (high - low)};
}

/// Position of `value` in (bins + 2,): 0 underflow, bins + 1 overflow; -1 where it is not finite. Exact for any edges;
/// quick for equally wide bins, where the first guess is at most one off.
DYNASCOPE_HD inline int64_t bin_of(const HistogramAxis& axis, double value) {
  if (!is_finite(value)) {
    return -1;
  }
  if (value < axis.low) {
    return 0;
  }
  if (value >= axis.high) {
    return value > axis.high ? axis.bins + 1 : axis.bins;
  }
  const double guess = (value - axis.low) * axis.scale;  // NaN where low and high nearly meet
  int64_t bin = guess < static_cast<double>(axis.bins) ? static_cast<int64_t>(guess) : axis.bins - 1;
  while (value < axis.edges[bin]) {
    --bin;
  }
  while (value >= axis.edges[bin + 1]) {
    ++bin;
  }
  return bin + 1;
}

}  // namespace dynascope::engine
