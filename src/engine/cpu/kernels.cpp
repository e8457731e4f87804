// SPDX-License-Identifier: BSD-3-Clause

// One body, compiled for three instruction sets: functions that are always inlined into one entry per set, which
// carries the target. (Cloning by attribute would do the same, but start before sanitizers do, and a test could not
// choose.)
//
// A run is walked twice, the second time from the first-level cache: by columns, eight rows of sixteen lanes in
// registers, and by rows, whose lanes meet by halves. The vectors are written as such, because the order in which lanes
// meet is a sum that no compiler reorders by itself; wider or narrower registers than theirs only change how many
// instructions one takes.

#include "engine/cpu/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#define DYNASCOPE_INLINE __attribute__((always_inline)) inline

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed between functions that are always inlined only

namespace dynascope::engine::cpu {
namespace {

// Vectors as wide as the registers of an instruction set: the compiler cuts wider ones into single values where it
// meets a comparison.
template <int kBytes>
struct Vectors {
  static constexpr int kLanes = kBytes / 4;
  using Floats __attribute__((vector_size(kBytes), may_alias)) = float;
  using UnalignedFloats __attribute__((vector_size(kBytes), aligned(4), may_alias)) = float;
  using Bits __attribute__((vector_size(kBytes), may_alias)) = int32_t;
  using UnalignedBits __attribute__((vector_size(kBytes), aligned(4), may_alias)) = int32_t;
  using Doubles __attribute__((vector_size(kBytes), may_alias)) = double;
  using PairOfDoubles __attribute__((vector_size(2 * kBytes), aligned(kBytes), may_alias)) = double;
};

template <typename V>
DYNASCOPE_INLINE void load(const float* from, typename V::Floats& to) {
  to = *reinterpret_cast<const typename V::UnalignedFloats*>(from);
}

// All bits of the first `count` lanes.
template <typename V>
DYNASCOPE_INLINE void mask_of(int count, typename V::Bits& mask) {
  constexpr int kMost = 2 * kMinima;
  alignas(64) static constexpr int32_t kMasks[kMost] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  const int lanes = count < 0 ? 0 : count < V::kLanes ? count : V::kLanes;
  mask = *reinterpret_cast<const typename V::UnalignedBits*>(kMasks + kMinima - lanes);
}

template <typename V>
DYNASCOPE_INLINE void keep(const typename V::Bits& mask, typename V::Floats& value) {
  value = reinterpret_cast<typename V::Floats>(reinterpret_cast<typename V::Bits>(value) & mask);
}

template <typename V>
DYNASCOPE_INLINE typename V::Floats where(const typename V::Bits& mask, const typename V::Floats& value,
                                          const typename V::Floats& otherwise) {
  using Bits = typename V::Bits;
  return reinterpret_cast<typename V::Floats>((reinterpret_cast<Bits>(value) & mask) |
                                              (reinterpret_cast<Bits>(otherwise) & ~mask));
}

struct Plus {
  template <typename T>
  DYNASCOPE_INLINE T operator()(const T& a, const T& b) const {
    return a + b;
  }
};
struct Lesser {
  template <typename T>
  DYNASCOPE_INLINE T operator()(const T& a, const T& b) const {
    return b < a ? b : a;
  }
};
struct Greater {
  template <typename T>
  DYNASCOPE_INLINE T operator()(const T& a, const T& b) const {
    return b > a ? b : a;
  }
};

// A fold of eight.
template <typename T, typename Join>
DYNASCOPE_INLINE T folded(const T* x, Join join) {
  return join(join(join(x[0], x[4]), join(x[2], x[6])), join(join(x[1], x[5]), join(x[3], x[7])));
}

// Lanes of one vector that meet by halves until `kLeft` are left.
template <typename T, int kLanes, int kLeft>
struct Halves {
  using Vector __attribute__((vector_size(kLanes * sizeof(T)), may_alias)) = T;
  using Half = typename Halves<T, kLanes / 2, kLeft>::Vector;
  template <typename Join>
  static DYNASCOPE_INLINE auto folded(const Vector& x, Join join) {
    const Half* half = reinterpret_cast<const Half*>(&x);
    return Halves<T, kLanes / 2, kLeft>::folded(join(half[0], half[1]), join);
  }
};
template <typename T, int kLeft>
struct Halves<T, kLeft, kLeft> {
  using Vector __attribute__((vector_size(kLeft * sizeof(T)), may_alias)) = T;
  template <typename Join>
  static DYNASCOPE_INLINE Vector folded(const Vector& x, Join /*join*/) {
    return x;
  }
};

template <typename T, int kLanes, typename Join>
DYNASCOPE_INLINE T folded_vector(const typename Halves<T, kLanes, 2>::Vector& x, Join join) {
  const auto pair = Halves<T, kLanes, 2>::folded(x, join);
  return join(pair[0], pair[1]);
}

alignas(64) constexpr double kZeros[kTileLanes] = {};

// `before` leads to what `sums` held before the run.
template <typename V>
DYNASCOPE_INLINE void add_to(const double* before, double* sums, const typename V::Floats& run) {
  using Doubles = typename V::Doubles;
  const auto wide = __builtin_convertvector(run, typename V::PairOfDoubles);
  const auto* from = reinterpret_cast<const Doubles*>(before);
  auto* to = reinterpret_cast<Doubles*>(sums);
  to[0] = from[0] + reinterpret_cast<const Doubles*>(&wide)[0];
  to[1] = from[1] + reinterpret_cast<const Doubles*>(&wide)[1];
}

// Into the second-level cache: the hardware does not see across pages, and fetching into the first level is slower.
template <typename V>
DYNASCOPE_INLINE void fetch(const float* ahead, int first) {
  constexpr int kLine = 64 / sizeof(float);
  if (V::kLanes == kLine || first % kLine == 0) {
    __builtin_prefetch(ahead + first, 0, 2);
  }
}

// One vector of lanes of all rows. Not kWhole: those of `run.count` rows, and only lanes below `run.lanes`. A NaN may
// get lost in the bounds; the squares tell.
template <typename V, bool kWhole>
DYNASCOPE_INLINE void add_columns(const Run<float>& run, int first, PlainLanes& lanes, typename V::Floats& low,
                                  typename V::Floats& high) {
  using Floats = typename V::Floats;
  using Bits = typename V::Bits;
  Floats values[kRunRows];
  Floats squares[kRunRows];
  Floats magnitudes[kRunRows];
  Bits exists;
  mask_of<V>(run.lanes - first, exists);
  for (int i = 0; i < kRunRows; ++i) {
    load<V>(run.rows[i] + first, values[i]);
    fetch<V>(run.ahead[i], first);
    if (!kWhole) {
      keep<V>(exists, values[i]);
    }
    squares[i] = values[i] * values[i];
    magnitudes[i] = reinterpret_cast<Floats>(reinterpret_cast<Bits>(values[i]) & 0x7FFFFFFF);
  }
  Floats lowest = values[0];
  Floats highest = values[0];
  if (kWhole) {
    lowest = folded(values, Lesser());
    highest = folded(values, Greater());
  } else {
    for (int i = 1; i < run.count; ++i) {
      lowest = Lesser()(lowest, values[i]);
      highest = Greater()(highest, values[i]);
    }
    lowest = where<V>(exists, lowest, low);
    highest = where<V>(exists, highest, high);
  }
  low = Lesser()(low, lowest);
  high = Greater()(high, highest);
  const auto before = [&](const double* sums) { return run.first ? kZeros + first : sums + first; };
  add_to<V>(before(lanes.column), lanes.column + first, folded(values, Plus()));
  add_to<V>(before(lanes.squares), lanes.squares + first, folded(squares, Plus()));
  add_to<V>(before(lanes.abs_sum), lanes.abs_sum + first, folded(magnitudes, Plus()));
}

// The same of a run of one row, all else being zeros.
template <typename V, bool kWhole>
DYNASCOPE_INLINE void add_row(const Run<float>& run, int first, PlainLanes& lanes, typename V::Floats& low,
                              typename V::Floats& high) {
  using Floats = typename V::Floats;
  using Bits = typename V::Bits;
  Floats value;
  load<V>(run.rows[0] + first, value);
  Bits exists;
  mask_of<V>(run.lanes - first, exists);
  if (!kWhole) {
    keep<V>(exists, value);
  }
  const auto magnitude = reinterpret_cast<Floats>(reinterpret_cast<Bits>(value) & 0x7FFFFFFF);
  low = Lesser()(low, kWhole ? value : where<V>(exists, value, low));
  high = Greater()(high, kWhole ? value : where<V>(exists, value, high));
  const auto before = [&](const double* sums) { return run.first ? kZeros + first : sums + first; };
  add_to<V>(before(lanes.column), lanes.column + first, value);
  add_to<V>(before(lanes.squares), lanes.squares + first, value * value);
  add_to<V>(before(lanes.abs_sum), lanes.abs_sum + first, magnitude);
}

template <typename V>
DYNASCOPE_INLINE void add_all_columns(const Run<float>& run, PlainLanes& lanes) {
  using Floats = typename V::Floats;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Floats low = Floats{} + kInfinity;
  Floats high = Floats{} - kInfinity;
  if (!run.first) {
    low = *reinterpret_cast<const Floats*>(lanes.min);
    high = *reinterpret_cast<const Floats*>(lanes.max);
  }
  int first = 0;
  for (; run.count == kRunRows && first + V::kLanes <= run.lanes; first += V::kLanes) {
    add_columns<V, true>(run, first, lanes, low, high);
  }
  for (; run.count == 1 && first + V::kLanes <= run.lanes; first += V::kLanes) {
    add_row<V, true>(run, first, lanes, low, high);
  }
  for (; run.count == 1 && first < run.lanes; first += V::kLanes) {
    add_row<V, false>(run, first, lanes, low, high);
  }
  for (; first < run.lanes; first += V::kLanes) {
    add_columns<V, false>(run, first, lanes, low, high);
  }
  *reinterpret_cast<Floats*>(lanes.min) = low;
  *reinterpret_cast<Floats*>(lanes.max) = high;
}

// A row of single taps, `kUnits` times sixteen of them or less: of fold_count() lanes the short levels leave an eighth,
// which meets in float64. `last` masks the last sixteen.
template <typename V, int kUnits>
DYNASCOPE_INLINE double folded_row(const float* row, const typename V::Bits* last) {
  using Floats = typename V::Floats;
  constexpr int kCount = kUnits == 1 ? 16 : kUnits == 2 ? 32 : kUnits <= 4 ? 64 : kUnits <= 8 ? 128 : 256;
  constexpr int kVectors = kUnits * 16 / V::kLanes;
  constexpr int kMasked = kVectors - 16 / V::kLanes;
  constexpr int kLeft = kCount / 8;
  constexpr int kGroups = kLeft > V::kLanes ? kLeft / V::kLanes : 1;
  constexpr int kParts = kCount / V::kLanes / kGroups;
  Floats groups[kGroups];
  for (int group = 0; group < kGroups; ++group) {
    Floats parts[kParts];
    for (int part = 0; part < kParts; ++part) {
      const int at = part * kGroups + group;
      parts[part] = Floats{};
      if (at < kVectors) {
        load<V>(row + at * V::kLanes, parts[part]);
      }
      if (at >= kMasked && at < kVectors) {
        keep<V>(last[at - kMasked], parts[part]);
      }
    }
    for (int half = kParts / 2; half > 0; half /= 2) {
      for (int part = 0; part < half; ++part) {
        if ((part + half) * kGroups + group < kVectors) {
          parts[part] += parts[part + half];
        }
      }
    }
    groups[group] = parts[0];
  }
  if constexpr (kLeft < V::kLanes) {
    const auto brief = Halves<float, V::kLanes, kLeft>::folded(groups[0], Plus());
    return folded_vector<double, kLeft>(__builtin_convertvector(brief, typename Halves<double, kLeft, kLeft>::Vector),
                                        Plus());
  } else {
    typename V::PairOfDoubles wide[kGroups];
    for (int group = 0; group < kGroups; ++group) {
      wide[group] = __builtin_convertvector(groups[group], typename V::PairOfDoubles);
    }
    for (int half = kGroups / 2; half > 0; half /= 2) {
      for (int group = 0; group < half; ++group) {
        wide[group] += wide[group + half];
      }
    }
    const auto* pair = reinterpret_cast<const typename V::Doubles*>(&wide[0]);
    return folded_vector<double, V::kLanes / 2>(pair[0] + pair[1], Plus());
  }
}

template <typename V, int kUnits>
DYNASCOPE_INLINE void add_rows(const Run<float>& run, double* row_sums) {
  typename V::Bits last[16 / V::kLanes];
  for (int i = 0; i < 16 / V::kLanes; ++i) {
    mask_of<V>(run.lanes - (kUnits - 1) * 16 - i * V::kLanes, last[i]);
  }
  if (run.count == 1) {
    row_sums[0] = folded_row<V, kUnits>(run.rows[0], last);
    return;
  }
  double sums[kRunRows];
  for (int i = 0; i < kRunRows; ++i) {
    sums[i] = folded_row<V, kUnits>(run.rows[i], last);
  }
  for (int i = 0; i < run.count; ++i) {
    row_sums[i] = sums[i];
  }
}

template <typename V>
DYNASCOPE_INLINE void add_single_taps(const Run<float>& run, double* row_sums) {
#define DYNASCOPE_UNITS(units)         \
  case units:                          \
    add_rows<V, units>(run, row_sums); \
    break;
  switch ((run.lanes + 15) / 16) {
    DYNASCOPE_UNITS(1)
    DYNASCOPE_UNITS(2)
    DYNASCOPE_UNITS(3)
    DYNASCOPE_UNITS(4)
    DYNASCOPE_UNITS(5)
    DYNASCOPE_UNITS(6)
    DYNASCOPE_UNITS(7)
    DYNASCOPE_UNITS(8)
    DYNASCOPE_UNITS(9)
    DYNASCOPE_UNITS(10)
    DYNASCOPE_UNITS(11)
    DYNASCOPE_UNITS(12)
    DYNASCOPE_UNITS(13)
    DYNASCOPE_UNITS(14)
    DYNASCOPE_UNITS(15)
    DYNASCOPE_UNITS(16)
  }
#undef DYNASCOPE_UNITS
}

// Rows of any columns and taps: `kParts` times `stride` lanes of them or less. Lane l of what the short levels leave is
// all lanes a stride apart added together: taken straight from the row, because a sum that is stored and read again at
// another distance has to wait for the store.
template <typename V, int kParts>
DYNASCOPE_INLINE void add_parts(const Run<float>& run, int stride, float (*brief)[kTileLanes + kMinima]) {
  for (int i = 0; i < run.count; ++i) {
    for (int lane = 0; lane < stride; lane += V::kLanes) {
      typename V::Floats parts[kParts];
      for (int part = 0; part < kParts; ++part) {
        load<V>(run.rows[i] + part * stride + lane, parts[part]);
      }
      typename V::Bits exists;
      mask_of<V>(run.lanes - (kParts - 1) * stride - lane, exists);
      keep<V>(exists, parts[kParts - 1]);
      for (int half = 4; half > 0; half /= 2) {
        for (int part = 0; part < half && part + half < kParts; ++part) {
          parts[part] += parts[part + half];
        }
      }
      *reinterpret_cast<typename V::UnalignedFloats*>(brief[i] + lane) = parts[0];
    }
  }
}

// The rest of it, once all rows are that far.
template <typename V, int kLeft>
DYNASCOPE_INLINE void fold_left(const Run<float>& run, const float (*brief)[kTileLanes + kMinima], double* row_sums) {
  using Doubles = typename V::PairOfDoubles;
  for (int i = 0; i < run.count; ++i) {
    for (int tap = 0; tap < run.taps; tap += V::kLanes) {
      Doubles wide[kLeft];
      for (int column = 0; column < kLeft; ++column) {
        typename V::Floats narrow;
        load<V>(brief[i] + column * run.taps + tap, narrow);
        wide[column] = __builtin_convertvector(narrow, Doubles);
      }
      for (int half = kLeft / 2; half > 0; half /= 2) {
        for (int column = 0; column < half; ++column) {
          wide[column] += wide[column + half];
        }
      }
      std::memcpy(row_sums + i * run.taps + tap, wide, sizeof(Doubles));
    }
  }
}

template <typename V>
DYNASCOPE_INLINE void add_taps(const Run<float>& run, double* row_sums) {
  alignas(64) float brief[kRunRows][kTileLanes + kMinima];
  const int left = std::max(1, fold_count(run.columns) / 8);
  const int stride = left * run.taps;
#define DYNASCOPE_CASE(value, ...) \
  case value:                      \
    __VA_ARGS__;                   \
    break;
  switch ((run.columns + left - 1) / left) {
    DYNASCOPE_CASE(1, add_parts<V, 1>(run, stride, brief))
    DYNASCOPE_CASE(2, add_parts<V, 2>(run, stride, brief))
    DYNASCOPE_CASE(3, add_parts<V, 3>(run, stride, brief))
    DYNASCOPE_CASE(4, add_parts<V, 4>(run, stride, brief))
    DYNASCOPE_CASE(5, add_parts<V, 5>(run, stride, brief))
    DYNASCOPE_CASE(6, add_parts<V, 6>(run, stride, brief))
    DYNASCOPE_CASE(7, add_parts<V, 7>(run, stride, brief))
    DYNASCOPE_CASE(8, add_parts<V, 8>(run, stride, brief))
  }
  switch (left) {
    DYNASCOPE_CASE(1, fold_left<V, 1>(run, brief, row_sums))
    DYNASCOPE_CASE(2, fold_left<V, 2>(run, brief, row_sums))
    DYNASCOPE_CASE(4, fold_left<V, 4>(run, brief, row_sums))
    DYNASCOPE_CASE(8, fold_left<V, 8>(run, brief, row_sums))
    DYNASCOPE_CASE(16, fold_left<V, 16>(run, brief, row_sums))
  }
#undef DYNASCOPE_CASE
}

template <typename V>
DYNASCOPE_INLINE void add_plain(const Run<float>& run, PlainLanes& lanes, double* row_sums) {
  add_all_columns<V>(run, lanes);
  if (in_whole_vectors(run.columns, run.taps)) {
    add_single_taps<V>(run, row_sums);
  } else {
    add_taps<V>(run, row_sums);
  }
}

// Columns of a row meet by halves.
DYNASCOPE_INLINE void fold_row(const double* row, int columns, int taps, double* sums) {
  alignas(64) double left[kTileLanes];
  std::copy_n(row, columns * taps, left);
  int count = columns * taps;
  for (int half = fold_count(columns) / 2; half > 0; half /= 2) {
#pragma GCC ivdep
    for (int i = half * taps; i < count; ++i) {
      left[i - half * taps] += left[i];
    }
    count = half * taps;
  }
  std::copy_n(left, taps, sums);
}

DYNASCOPE_INLINE void add_careful(const Run<double>& run, double shift, CarefulLanes& lanes, double* row_sums) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (int lane = 0; lane < run.lanes; ++lane) {
    double values[kRunRows];
    double differences[kRunRows];
    double squares[kRunRows];
    double magnitudes[kRunRows];
    double low = lanes.min[lane];
    double high = lanes.max[lane];
    double nonfinite = lanes.nonfinite[lane];
    for (int i = 0; i < kRunRows; ++i) {
      const bool exists = i < run.count;
      const double value = run.rows[i][lane];
      const double difference = exists ? value - shift : 0.0;
      const bool finite = value - value == 0.0;
      const double lower = finite && exists ? value : kInfinity;
      const double higher = finite && exists ? value : -kInfinity;
      values[i] = value;
      differences[i] = difference;
      squares[i] = difference * difference;
      magnitudes[i] = std::fabs(value);
      low = lower < low ? lower : low;
      high = higher > high ? higher : high;
      nonfinite += finite ? 0.0 : 1.0;
    }
    lanes.column[lane] += folded(values, Plus());
    lanes.sum[lane] += folded(differences, Plus());
    lanes.squares[lane] += folded(squares, Plus());
    lanes.abs_sum[lane] += folded(magnitudes, Plus());
    lanes.min[lane] = low;
    lanes.max[lane] = high;
    lanes.nonfinite[lane] = nonfinite;
  }
  for (int i = 0; i < run.count; ++i) {
    fold_row(run.rows[i], run.columns, run.taps, row_sums + i * run.taps);
  }
}

template <typename T, typename Join>
DYNASCOPE_INLINE T fold_lanes(const T* values, int count, Join join) {
  alignas(64) T left[kTileLanes];
  left[0] = values[0];
  int half = fold_count(count) / 2;
  for (int i = 0; half > 0 && i < count - half; ++i) {
    left[i] = join(values[i], values[i + half]);
  }
  for (int i = count - half; i < half; ++i) {
    left[i] = values[i];
  }
  for (half /= 2; half > 0; half /= 2) {
#pragma GCC ivdep
    for (int i = 0; i < half; ++i) {
      left[i] = join(left[i], left[i + half]);
    }
  }
  return left[0];
}

// Lanes of a plain tile, whose last vector ends in zeros.
template <typename V>
DYNASCOPE_INLINE double sum_of_lanes(const double* lanes, int count) {
  using Doubles = typename V::Doubles;
  constexpr int kLanes = V::kLanes / 2;
  const auto* from = reinterpret_cast<const Doubles*>(lanes);
  const int vectors = (count + kLanes - 1) / kLanes;
  int half = fold_count(vectors) / 2;
  Doubles left[kTileLanes / kLanes / 2];
  left[0] = from[0];
  for (int i = 0; i < half; ++i) {
    left[i] = i + half < vectors ? from[i] + from[i + half] : from[i];
  }
  for (half /= 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      left[i] += left[i + half];
    }
  }
  return folded_vector<double, kLanes>(left[0], Plus());
}

template <typename V>
DYNASCOPE_INLINE void fold_plain(const PlainLanes& lanes, int count, PlainSums& sums) {
  typename V::Floats low;
  typename V::Floats high;
  load<V>(lanes.min, low);
  load<V>(lanes.max, high);
  sums.sum = sum_of_lanes<V>(lanes.column, count);
  sums.squares = sum_of_lanes<V>(lanes.squares, count);
  sums.abs_sum = sum_of_lanes<V>(lanes.abs_sum, count);
  sums.min = static_cast<double>(folded_vector<float, V::kLanes>(low, Lesser()));
  sums.max = static_cast<double>(folded_vector<float, V::kLanes>(high, Greater()));
}

DYNASCOPE_INLINE void fold_careful(const CarefulLanes& lanes, int count, LaneSums& sums) {
  sums.sum = fold_lanes(lanes.sum, count, Plus());
  sums.squares = fold_lanes(lanes.squares, count, Plus());
  sums.abs_sum = fold_lanes(lanes.abs_sum, count, Plus());
  sums.min = fold_lanes(lanes.min, count, Lesser());
  sums.max = fold_lanes(lanes.max, count, Greater());
  sums.nonfinite = static_cast<int64_t>(fold_lanes(lanes.nonfinite, count, Plus()));
}

template <typename T>
DYNASCOPE_INLINE void widen_all(const T* from, float* to, int count) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    to[i] = static_cast<float>(to_double(from[i]));
  }
}

template <typename V>
DYNASCOPE_INLINE void find_bins(const float* values, int count, const QuickBins& bins, int32_t* slots) {
  using Floats = typename V::Floats;
  using Bits = typename V::Bits;
  const Floats most = Floats{} + (static_cast<float>(bins.bins) + 0.5F);
  const Floats least = Floats{} - 0.5F;
  for (int i = 0; i < count; i += V::kLanes) {
    Floats value;
    load<V>(values + i, value);
    const Floats place = Greater()(least, Lesser()(most, (value - bins.low) * bins.scale)) + 1.0F;
    const Bits slot = __builtin_convertvector(place, Bits);
    const Floats part = place - __builtin_convertvector(slot, Floats);
    // By sign bits: the compiler cuts comparisons that are no minima into single values.
    const Floats room = Lesser()(part, 1.0F - part) - bins.slack;
    const Floats zero = value * 0.0F;  // NaN where it is not finite
    const Bits near = reinterpret_cast<Bits>(room) >> 31;
    const Bits bits = reinterpret_cast<Bits>(zero) & 0x7FFFFFFF;
    *reinterpret_cast<typename V::UnalignedBits*>(slots + i) = slot | near | ((bits | -bits) >> 31);
  }
}

DYNASCOPE_INLINE void add_channel(const double* values, const double* coefficients, int64_t taps, int64_t positions,
                                  int64_t count, double* __restrict sums) {
  for (int64_t tap = 0; tap < taps; ++tap) {
    const double value = values[tap];
    const double* at_tap = coefficients + tap * positions;
    for (int64_t i = 0; i < count; ++i) {
      sums[i] += at_tap[i] != 0.0 ? value * at_tap[i] : 0.0;
    }
  }
}

// engine::add() with multiplicity, lane by lane.
DYNASCOPE_INLINE void add_units(const double* strengths, const int64_t* multiplicity, int count, double shift,
                                CarefulLanes& lanes) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    const double times = static_cast<double>(multiplicity[i]);
    const double value = strengths[i];
    const double difference = value - shift;
    const bool finite = value - value == 0.0;
    const double lower = finite ? value : kInfinity;
    const double higher = finite ? value : -kInfinity;
    lanes.sum[i] += times * difference;
    lanes.squares[i] += times * (difference * difference);
    lanes.abs_sum[i] += times * std::fabs(value);
    lanes.min[i] = lower < lanes.min[i] ? lower : lanes.min[i];
    lanes.max[i] = higher > lanes.max[i] ? higher : lanes.max[i];
    lanes.nonfinite[i] += finite ? 0.0 : times;
  }
}

DYNASCOPE_INLINE void narrow(const double* from, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = canonical(static_cast<float>(from[i]));
  }
}

#define DYNASCOPE_KERNELS(set, bytes, ...)                                                                             \
  __VA_ARGS__ void add_plain_##set(const Run<float>& run, PlainLanes& lanes, double* row_sums) {                       \
    add_plain<Vectors<bytes>>(run, lanes, row_sums);                                                                   \
  }                                                                                                                    \
  __VA_ARGS__ void add_careful_##set(const Run<double>& run, double shift, CarefulLanes& lanes, double* row_sums) {    \
    add_careful(run, shift, lanes, row_sums);                                                                          \
  }                                                                                                                    \
  __VA_ARGS__ void fold_plain_##set(const PlainLanes& lanes, int count, PlainSums& sums) {                             \
    fold_plain<Vectors<bytes>>(lanes, count, sums);                                                                    \
  }                                                                                                                    \
  __VA_ARGS__ void fold_careful_##set(const CarefulLanes& lanes, int count, LaneSums& sums) {                          \
    fold_careful(lanes, count, sums);                                                                                  \
  }                                                                                                                    \
  __VA_ARGS__ void widen_bfloat16_##set(const BFloat16* from, float* to, int count) { widen_all(from, to, count); }    \
  __VA_ARGS__ void widen_float16_##set(const Float16* from, float* to, int count) { widen_all(from, to, count); }      \
  __VA_ARGS__ void find_bins_##set(const float* values, int count, const QuickBins& bins, int32_t* slots) {            \
    find_bins<Vectors<bytes>>(values, count, bins, slots);                                                             \
  }                                                                                                                    \
  __VA_ARGS__ void add_channel_##set(const double* values, const double* coefficients, int64_t taps,                   \
                                     int64_t positions, int64_t count, double* sums) {                                 \
    add_channel(values, coefficients, taps, positions, count, sums);                                                   \
  }                                                                                                                    \
  __VA_ARGS__ void add_units_##set(const double* strengths, const int64_t* multiplicity, int count, double shift,      \
                                   CarefulLanes& lanes) {                                                              \
    add_units(strengths, multiplicity, count, shift, lanes);                                                           \
  }                                                                                                                    \
  __VA_ARGS__ void narrow_##set(const double* from, float* to, int64_t count) { narrow(from, to, count); }             \
  constexpr Kernels kKernels_##set = {add_plain_##set,      add_careful_##set,   fold_plain_##set, fold_careful_##set, \
                                      widen_bfloat16_##set, widen_float16_##set, find_bins_##set,  add_channel_##set,  \
                                      add_units_##set,      narrow_##set};

DYNASCOPE_KERNELS(baseline, 16, __attribute__((flatten)))
#if defined(__x86_64__)
DYNASCOPE_KERNELS(x86_64_v3, 32, __attribute__((flatten, target("arch=x86-64-v3"))))
DYNASCOPE_KERNELS(x86_64_v4, 64, __attribute__((flatten, target("arch=x86-64-v4"))))
#endif

InstructionSet& in_use() {
  static InstructionSet set = best_instruction_set();
  return set;
}

}  // namespace

void clear(CarefulLanes& lanes, int count) {
  for (double* sums : {lanes.column, lanes.sum, lanes.squares, lanes.abs_sum, lanes.nonfinite}) {
    std::fill_n(sums, count, 0.0);
  }
  std::fill_n(lanes.min, count, std::numeric_limits<double>::infinity());
  std::fill_n(lanes.max, count, -std::numeric_limits<double>::infinity());
}

InstructionSet best_instruction_set() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#if defined(__clang__) && __clang_major__ < 18  // knows features, no levels
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
#else
  const bool v3 = __builtin_cpu_supports("x86-64-v3");
  const bool v4 = __builtin_cpu_supports("x86-64-v4");
#endif
  if (v4) {
    return InstructionSet::kX86_64_v4;
  }
  if (v3) {
    return InstructionSet::kX86_64_v3;
  }
#endif
  return InstructionSet::kBaseline;
}

const Kernels& kernels_of(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kX86_64_v4) {
    return kKernels_x86_64_v4;
  }
  if (set == InstructionSet::kX86_64_v3) {
    return kKernels_x86_64_v3;
  }
#endif
  static_cast<void>(set);
  return kKernels_baseline;
}

const Kernels& kernels() { return kernels_of(in_use()); }

void use(InstructionSet set) { in_use() = set; }

}  // namespace dynascope::engine::cpu
