// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Weights that are computed from parameters. The operators that did it are kept and run again before each measurement:
// what the trace saw holds for the first step only. Asking the user for a function would do for weight norm, which
// everybody writes alike, but not for what nobody foresaw.

#include "module_tree.hpp"
#include "recording.hpp"

#include <dynascope/network.hpp>

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace dynascope::network {

struct Call;

class Derivations {
 public:
  Derivations(const Recording& recording, const ModuleTree& tree);

  struct Weight {
    at::Tensor value;     ///< in the memory that is renewed
    bool turned = false;  ///< the operator used its transpose
    size_t largest = 0;   ///< position of the parameter that most of it comes from
  };

  /// The weight that value `id` is; adds it to the flow when it is new there.
  /// @throws NotFollowed when it cannot be computed again, or takes too many operators
  Weight find(const Call& call, ValueId id);

 private:
  ComputedWeight derive(const Call& call, ValueId id) const;

  const Recording& recording_;
  const ModuleTree& tree_;
  std::map<ValueId, size_t> maker_;  ///< position of the operation that made a value
  std::map<ValueId, Weight> known_;
};

}  // namespace dynascope::network
