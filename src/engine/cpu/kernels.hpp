// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The inner loops of reduce() on the cpu: runs of kRunRows rows of one tile. Compiled once per instruction set from one
// source; tree.hpp fixes the order of additions, so that all give the same bits.

#include "engine/arithmetic.hpp"

#include <cstdint>

namespace dynascope::engine::cpu {

constexpr int kMinima = 16;  ///< lanes of the widest vector

/// Rows of a run, lane by lane: contiguous, `lanes` values each. Rows of float32 may be read up to the next multiple of
/// kMinima; what is there does not matter.
template <typename T>
struct Run {
  const T* rows[kRunRows];  ///< those from `count` on lead to zeros
  int count;
  int lanes, columns, taps;  ///< lanes = columns * taps
};

/// What a tile gathers when all is well.
struct alignas(64) PlainLanes {
  double column[kTileLanes];
  double squares[kTileLanes];
  double abs_sum[kTileLanes];
  float min[kMinima], max[kMinima];
};

/// The same in float64 about a shift, for any values.
struct alignas(64) CarefulLanes {
  double column[kTileLanes];
  double sum[kTileLanes], squares[kTileLanes];  ///< of the differences from the shift
  double abs_sum[kTileLanes];
  double min[kTileLanes], max[kTileLanes];  ///< over finite values
  double nonfinite[kTileLanes];             ///< counts, exact
};

enum class InstructionSet { kBaseline, kX86_64_v3, kX86_64_v4 };

struct Kernels {
  /// Adds a run to `lanes` and writes its row partials, (count, taps) in `row_sums`.
  void (*add_plain)(const Run<float>& run, PlainLanes& lanes, double* row_sums);
  void (*add_careful)(const Run<double>& run, double shift, CarefulLanes& lanes, double* row_sums);
  /// The fold over lanes; `lanes` is spoilt but for `column`. Without `count`.
  void (*fold_plain)(PlainLanes& lanes, int count, PlainSums& sums);
  void (*fold_careful)(CarefulLanes& lanes, int count, LaneSums& sums);
  void (*widen_bfloat16)(const BFloat16* from, float* to, int count);
  void (*widen_float16)(const Float16* from, float* to, int count);
};

void clear(PlainLanes& lanes, int count);
void clear(CarefulLanes& lanes, int count);

/// The best set that this processor has.
InstructionSet best_instruction_set();

/// Of `set`, which the processor must have.
const Kernels& kernels_of(InstructionSet set);

/// Those in use: of the best set, unless use() chose another, which is for tests and not to be done while measuring.
const Kernels& kernels();
void use(InstructionSet set);

}  // namespace dynascope::engine::cpu
