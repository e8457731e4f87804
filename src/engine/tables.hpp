// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The compiled form of a network: flat arrays of plain values that host and device read alike. Built by Plan, filled
// into rows by the backends in three passes:
//
//   reduce   one work item per Tile: reads its part of a matrix once; writes partial row sums, partial column sums and
//            moments, and adds to the histogram
//   combine  folds the partials of each matrix into row sums, column sums (workspace) and link-weight statistics, and
//            writes the plain row and column sums of LinkPlan (row)
//   nodes    one work item per node layer: strengths from the sums through Terms, and their summary (row)
//
// The order of every addition is fixed by tree.hpp, what is done to single values by arithmetic.hpp. All sums are
// float64. Offsets into the workspace count doubles (or Moments); offsets into a row count bytes; -1 means "not
// wanted". With one block of partials, partials and sums are the same place (row_partials == row_sums, column_partials
// == column_sums): combine may skip them, or fold them in place.

#include <cstdint>

namespace dynascope::engine {

enum class Dtype : int32_t { kFloat32, kFloat64, kBFloat16, kFloat16 };

/// One weight or bias, seen as (rows, columns, taps). Rows fall into `groups` equal blocks, each with column sums of
/// its own. Taps are numbered row-major over `kernel`; strides count elements. Tiles have min(taps, kTileLanes) taps,
/// tile_columns() columns and tile_rows() rows, fewer at the ends; an empty matrix has none, and sums of 0. A bias has
/// one row.
struct Matrix {
  const void* data;
  Dtype dtype;
  int32_t weight_layer;  ///< whose statistics it belongs to
  int64_t rows, columns;
  int64_t groups;
  int64_t taps;
  int64_t kernel[3];
  int64_t row_stride, column_stride, tap_stride[3];

  int64_t row_blocks;     ///< tiles per group along rows
  int64_t column_blocks;  ///< tiles along columns
  int64_t tap_blocks;     ///< tiles along taps (1 unless taps > kTileLanes)
  int64_t first_tile;     ///< tiles are ordered by group, row block, column block, tap block (last fastest)

  int64_t row_partials;     ///< workspace: (column_blocks, rows, taps)
  int64_t column_partials;  ///< workspace: (groups, row_blocks, columns, taps)
  int64_t row_sums;         ///< workspace: (rows, taps)
  int64_t column_sums;      ///< workspace: (groups, columns, taps)
};

/// A part of a matrix that one work item reads: at most tile_rows() rows and kTileLanes (column, tap) pairs of one
/// group.
struct Tile {
  int32_t matrix;
  int32_t rows, columns, taps;
  int64_t first_row, first_column, first_tap;
};

/// What is known of a set of values: enough to merge two sets without reading them again.
struct Moments {
  int64_t count;
  int64_t nonfinite;
  double mean;
  double m2;  ///< sum of squares about `mean`
  double abs_sum;
  double min, max;  ///< over finite values; +inf, -inf where there are none
};

/// One weight layer: its matrices, and where its statistics go.
struct LinkPlan {
  int32_t first_matrix, matrices;  ///< the weight, then the bias where it counts
  /// Row offsets of the plain float32 sums of the first matrix, (rows,) over columns and taps and (columns, taps) over
  /// rows; -1 where a node layer tells them.
  int64_t row_sum, column_sum;
};

/// One contribution to the in- or out-strength of a node layer. For stored unit n with index m (its channel, or n
/// itself with `per_unit`) and position p (n % positions):
///
///   sum over blocks and taps of  S[(index(m) + block * block_stride) * taps + tap] * C[tap * positions + p]
///
/// index(m) = first + m * stride, or order[m] (-1: no link). S is a row_sums, column_sums array of the workspace. A
/// product with a zero coefficient is not formed: S need not be finite.
struct Term {
  int64_t sums;      ///< workspace; -1: identity links, every sum is 1
  int32_t outgoing;  ///< 0: in-strength, 1: out-strength
  int32_t per_unit;
  int64_t first, stride;
  int64_t blocks, block_stride;
  int64_t order;  ///< offset into `indices`, -1 for the affine rule
  int64_t taps;
  int64_t coefficients;  ///< offset into `coefficients` of (taps, positions); -1: ones
};

/// One node layer: its units, contributions, and where its values go.
struct NodePlan {
  int64_t units;      ///< stored units
  int64_t positions;  ///< stored units of a channel: combinations of position classes
  int32_t first_term, terms;
  double in_constant, out_constant;             ///< the boundary's virtual links
  int64_t multiplicity;                         ///< offset into `indices`, (units,)
  int64_t first_moments;                        ///< offset into `moments`, one per kSummaryUnits units
  int64_t strength, in_strength, out_strength;  ///< row offsets of float32 (units,)
};

/// Row offsets of what every layer has one value of.
struct RowOffsets {
  int64_t fluctuation, strength_mean, strength_min, strength_max, nodes_nonfinite;  ///< (node layers,)
  int64_t mean, std, min, max, abs_mean, norm, links_nonfinite;                     ///< (weight layers,)
  int64_t histogram;  ///< (weight layers, bins + 2), -1 with kOff
};

/// A copy of a parameter's values into the row (option record_parameters).
struct Copy {
  const void* data;
  Dtype dtype;
  int32_t to_float64;            ///< target type: 1 float64, 0 float32
  int64_t sizes[6], strides[6];  ///< leading axes of size 1 where the parameter has fewer than six; values canonical()
  int64_t target;                ///< row offset, row-major
  int64_t count;
};

/// All arrays of a plan, in host memory for the cpu backend and in device memory for cuda.
struct Tables {
  const Matrix* matrices;
  const Tile* tiles;
  const LinkPlan* links;
  const NodePlan* nodes;
  const Term* terms;
  const double* coefficients;
  const int64_t* indices;
  const double* histogram_edges;  ///< (weight layers, bins + 1); null until they are known
  const Copy* copies;
  int64_t matrix_count, tile_count, link_count, node_count, copy_count;
  int64_t term_count, coefficient_count, index_count;
  int64_t moment_count;
  int64_t histogram_bins;
  RowOffsets offsets;

  double* workspace;
  Moments* moments;  ///< (moment_count,): of tiles, then of the blocks of node layers
};

}  // namespace dynascope::engine
