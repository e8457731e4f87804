// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "recording.hpp"

#include <set>

namespace dynascope::network {

/// Values that are inputs though nobody named them: tensors from outside, and ones that the traced callable makes
/// itself (an example from torch::randn), where a weight layer reads what becomes of them.
///
/// A tensor that no weight layer reads in this way stays a constant: a positional encoding or noise that is added to
/// units, an index, a first state.
std::set<ValueId> find_made_inputs(const Recording& recording);

}  // namespace dynascope::network
