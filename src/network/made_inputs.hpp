// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "recording.hpp"

#include <set>

namespace dynascope::network {

/// Values that are inputs though they look like constants: tensors that the traced callable makes itself (an example
/// from torch::randn), and tensors of integers (images in bytes), where a weight layer reads what becomes of them.
///
/// A tensor that no weight layer reads in this way stays a constant (a positional encoding that is added, an index).
std::set<ValueId> find_made_inputs(const Recording& recording);

}  // namespace dynascope::network
