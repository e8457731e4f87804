// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "flow.hpp"
#include "module_tree.hpp"
#include "recording.hpp"

namespace dynascope::network {

/// From what ran to how units flow: every operator read by the lists of operators.hpp, the others as barriers.
/// @param inputs_given  the user named the inputs; other tensors from outside are constants then
/// @throws Error when no operator used a parameter
Flow interpret(const Recording& recording, const ModuleTree& tree, bool inputs_given);

}  // namespace dynascope::network
