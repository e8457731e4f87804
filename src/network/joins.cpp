// SPDX-License-Identifier: BSD-3-Clause
#include "atoms.hpp"
#include "relation.hpp"
#include "sites.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

bool is_join(const Flow& flow, const Read& read) {
  return flow.origins[static_cast<size_t>(read.value.origin)].kind == Origin::Kind::kJoin;
}

Read read_of_operand(Flow& flow, Atoms& atoms, const Read& read, const Operand& operand) {
  Substitution substitution(flow, atoms, operand.image);
  Read result = read;
  result.value = substitution.activation(read.value, operand.value);
  result.features = substitution.axis(read.features);
  for (Axis& axis : result.positions) {
    axis = substitution.axis(axis);
  }
  for (auto& [atom, axis] : result.image) {
    axis = substitution.axis(axis);
  }
  return result;
}

/// A rotation of one node layer that goes into scores (rotary positions) is that node layer.
void drop_sums_of_one_into_scores(Flow& flow) {
  for (size_t i = flow.origins.size(); i-- > 0;) {
    if (flow.origins[i].kind != Origin::Kind::kSum) {
      continue;
    }
    const auto sum = static_cast<int32_t>(i);
    bool scores = false, others = false, one = true;
    int32_t from = -1;
    for (const Read& read : flow.reads) {
      if (read.value.origin == sum) {
        (read.kind == Read::Kind::kScores ? scores : others) = true;
      }
      if (read.sum == sum) {
        one = one && (from < 0 || from == read.value.origin);
        from = read.value.origin;
      }
    }
    if (!scores || others || !one) {
      continue;
    }
    flow.reads.erase(std::remove_if(flow.reads.begin(), flow.reads.end(),
                                    [sum](const Read& read) { return read.value.origin == sum; }),
                     flow.reads.end());
    for (Read& read : flow.reads) {
      if (read.sum == sum) {
        read.kind = Read::Kind::kScores;
        read.sum = -1;
      }
    }
    flow.origins[i].kind = Origin::Kind::kJoin;  // no node layer
  }
}

}  // namespace

void resolve_joins(Flow& flow) {
  Atoms atoms(flow);
  std::vector<Read> resolved;
  std::vector<Read> open(flow.reads.rbegin(), flow.reads.rend());
  while (!open.empty()) {
    Read read = std::move(open.back());
    open.pop_back();
    if (!is_join(flow, read)) {
      if (!Relation(flow, all_leaves(flow, read.value)).empty()) {
        resolved.push_back(std::move(read));
      }
      continue;
    }
    const std::vector<Operand> operands = flow.origins[static_cast<size_t>(read.value.origin)].operands;
    for (auto operand = operands.rbegin(); operand != operands.rend(); ++operand) {
      open.push_back(read_of_operand(flow, atoms, read, *operand));
    }
  }
  flow.reads = std::move(resolved);
  drop_sums_of_one_into_scores(flow);
}

}  // namespace dynascope::network
