// SPDX-License-Identifier: BSD-3-Clause

// Strengths of stored units, and their summary, a block of kSummaryUnits at a time and term by term: what one term
// gives to all units of a block, then the next. A unit's own additions keep the order of strength_of(), which does the
// same unit by unit.

#include "engine/arithmetic.hpp"
#include "engine/cpu/kernels.hpp"
#include "engine/cpu/passes.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>

namespace dynascope::engine::cpu {
namespace {

// Units `first` to `first` + `count` - 1 of a node layer.
class Block {
 public:
  Block(const Tables& tables, const NodePlan& node, int64_t first, int64_t count)
      : tables_(tables), node_(node), first_(first), count_(count) {
    std::fill_n(in_, count, node.in_constant);
    std::fill_n(out_, count, node.out_constant);
  }

  void add(const Term& term) {
    double* sums = term.outgoing != 0 ? out_ : in_;
    const bool identity = term.sums < 0;
    const bool by_unit = term.per_unit != 0 || node_.positions == 1 || identity;
    if (!identity && by_unit && term.order < 0 && term.blocks == 1 && term.taps == 1 && term.coefficients < 0) {
      const double* values = tables_.workspace + term.sums + term.first + first_ * term.stride;
      for (int64_t i = 0; i < count_; ++i) {
        sums[i] += values[i * term.stride];
      }
    } else if (by_unit) {
      for (int64_t i = 0; i < count_; ++i) {
        sums[i] += contribution_of(tables_, node_, term, first_ + i);
      }
    } else {
      add_channels(term, sums);
    }
  }

  Moments store(std::byte* row) {
    const auto narrow = [&](const double* from, int64_t offset) {
      if (offset >= 0) {
        kernels().narrow(from, reinterpret_cast<float*>(row + offset) + first_, count_);
      }
    };
    narrow(in_, node_.in_strength);
    narrow(out_, node_.out_strength);
    for (int64_t i = 0; i < count_; ++i) {
      in_[i] += out_[i];
    }
    narrow(in_, node_.strength);

    const int used = static_cast<int>(std::min<int64_t>(kSummaryLanes, count_));
    const double shift = shift_of(in_[0]);
    const int64_t* multiplicity = tables_.indices + node_.multiplicity + first_;
    CarefulLanes lanes;
    clear(lanes, used);
    for (int64_t i = 0; i < count_; i += kSummaryLanes) {
      const int count = static_cast<int>(std::min<int64_t>(kSummaryLanes, count_ - i));
      kernels().add_units(in_ + i, multiplicity + i, count, shift, lanes);
    }
    LaneSums sums{};
    kernels().fold_careful(lanes, used, sums);
    sums.count = std::accumulate(multiplicity, multiplicity + count_, int64_t{0});
    return moments_of(sums, shift);
  }

 private:
  void add_channels(const Term& term, double* sums) {
    for (int64_t done = 0; done < count_;) {
      const int64_t position = (first_ + done) % node_.positions;
      const int64_t count = std::min(node_.positions - position, count_ - done);
      const int64_t index = index_of(tables_, term, (first_ + done) / node_.positions);
      if (index >= 0) {
        add_channel(term, index, position, count, sums + done);
      }
      done += count;
    }
  }

  // `count` positions of one channel, from `position` on.
  void add_channel(const Term& term, int64_t index, int64_t position, int64_t count, double* sums) {
    double some[kSummaryUnits];
    std::fill_n(some, count, 0.0);
    for (int64_t block = 0; block < term.blocks; ++block) {
      const double* values = tables_.workspace + term.sums + (index + block * term.block_stride) * term.taps;
      if (term.coefficients >= 0) {
        kernels().add_channel(values, tables_.coefficients + term.coefficients + position, term.taps, node_.positions,
                              count, some);
        continue;
      }
      for (int64_t tap = 0; tap < term.taps; ++tap) {
        for (int64_t i = 0; i < count; ++i) {
          some[i] += values[tap];
        }
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      sums[i] += some[i];
    }
  }

  const Tables& tables_;
  const NodePlan& node_;
  int64_t first_, count_;
  double in_[kSummaryUnits];
  double out_[kSummaryUnits];
};

void measure_layer(const Tables& tables, int64_t layer, std::byte* row) {
  const NodePlan& node = tables.nodes[layer];
  const int64_t blocks = (node.units + kSummaryUnits - 1) / kSummaryUnits;
  Moments* moments = tables.moments + node.first_moments;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kSummaryUnits;
      Block units(tables, node, first, std::min<int64_t>(kSummaryUnits, node.units - first));
      for (int32_t i = 0; i < node.terms; ++i) {
        units.add(tables.terms[node.first_term + i]);
      }
      moments[block] = units.store(row);
    }
  });
  store_node(tables.offsets, row, layer, combine_moments(moments, blocks));
}

}  // namespace

void nodes(const Tables& tables, std::byte* row) {
  for (int64_t layer = 0; layer < tables.node_count; ++layer) {
    measure_layer(tables, layer, row);
  }
}

}  // namespace dynascope::engine::cpu
