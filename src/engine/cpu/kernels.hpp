// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The inner loops of reduce() on the cpu: runs of kRunRows rows of one tile. Compiled once per instruction set from one
// source; tree.hpp fixes the order of additions, so that all give the same bits.

#include "engine/arithmetic.hpp"

#include <cstdint>

namespace dynascope::engine::cpu {

constexpr int kMinima = 16;  ///< lanes of the widest vector

/// Rows of a run, lane by lane: contiguous, `lanes` values each. Of float32, readable_lanes() may be read; what is
/// beyond `lanes` does not matter.
template <typename T>
struct Run {
  const T* rows[kRunRows];   ///< those from `count` on lead to zeros
  const T* ahead[kRunRows];  ///< what is read next, fetched meanwhile; any address (float32 only)
  int count;
  int lanes, columns, taps;  ///< lanes = columns * taps
  bool first;                ///< of its tile: lanes hold nothing yet (plain tiles only)
};

/// True where rows are read in whole vectors: several taps, or few columns, are read in other steps.
inline bool in_whole_vectors(int columns, int taps) { return taps == 1 && columns > 8; }

inline int readable_lanes(int columns, int taps) {
  const int lanes = columns * taps;
  return in_whole_vectors(columns, taps) ? (lanes + kMinima - 1) / kMinima * kMinima : lanes + kMinima;
}

/// How many values add_plain() overwrites after its row partials.
inline int spilled_sums(int columns, int taps) { return in_whole_vectors(columns, taps) ? 0 : kMinima; }

/// What a tile gathers when all is well.
struct alignas(64) PlainLanes {
  double column[kTileLanes];
  double squares[kTileLanes];
  double abs_sum[kTileLanes];
  float min[kMinima], max[kMinima];  ///< as many as a vector of the instruction set has lanes
};

/// The same in float64 about a shift, for any values.
struct alignas(64) CarefulLanes {
  double column[kTileLanes];
  double sum[kTileLanes], squares[kTileLanes];  ///< of the differences from the shift
  double abs_sum[kTileLanes];
  double min[kTileLanes], max[kTileLanes];  ///< over finite values
  double nonfinite[kTileLanes];             ///< counts, exact
};

/// Equally wide bins in float32: what is nearer to an edge than `slack` bins is left to bin_of().
struct QuickBins {
  float low, scale, slack;
  int bins;
};

enum class InstructionSet { kBaseline, kX86_64_v3, kX86_64_v4 };

struct Kernels {
  /// Adds a run to `lanes` and writes its row partials, (count, taps) in `row_sums`; add_plain() leaves anything in
  /// the spilled_sums() after them.
  void (*add_plain)(const Run<float>& run, PlainLanes& lanes, double* row_sums);
  void (*add_careful)(const Run<double>& run, double shift, CarefulLanes& lanes, double* row_sums);
  /// The folds over `count` lanes, all but the number of values.
  void (*fold_plain)(const PlainLanes& lanes, int count, PlainSums& sums);
  void (*fold_careful)(const CarefulLanes& lanes, int count, LaneSums& sums);
  void (*widen_bfloat16)(const BFloat16* from, float* to, int count);
  void (*widen_float16)(const Float16* from, float* to, int count);
  /// What bin_of() tells; -1 too where only that can tell. Reads and writes up to the next multiple of kMinima.
  void (*find_bins)(const float* values, int count, const QuickBins& bins, int32_t* slots);

  /// sums[i] += values[tap] * coefficients[tap * positions + i], tap after tap, where that coefficient is not 0.
  void (*add_channel)(const double* values, const double* coefficients, int64_t taps, int64_t positions, int64_t count,
                      double* sums);
  /// Adds at most kSummaryLanes units to the summary of a node layer, but for `column`.
  void (*add_units)(const double* strengths, const int64_t* multiplicity, int count, double shift, CarefulLanes& lanes);
  /// To what is stored of strengths.
  void (*narrow)(const double* from, float* to, int64_t count);
};

void clear(CarefulLanes& lanes, int count);

/// The best set that this processor has.
InstructionSet best_instruction_set();

/// Of `set`, which the processor must have.
const Kernels& kernels_of(InstructionSet set);

/// Those in use: of the best set, unless use() chose another, which is for tests and not to be done while measuring.
const Kernels& kernels();
void use(InstructionSet set);

}  // namespace dynascope::engine::cpu
