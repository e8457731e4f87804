// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "trainer.hpp"

namespace examples {

/// One network trained the way a user would: LibTorch's modules, optimizers and autograd, one network at a time. The
/// members that Trainer::train makes of it, but measured one by one.
Trained train_alone(const Trainer& trainer, const Net& net, const dynascope::RunDescription& description);

/// Prints networks per minute, at once, each in a stack of its own, and as a user would, from `turns` interleaved
/// turns.
void compare_speed(const Trainer& trainer, const Group& group, int turns);

}  // namespace examples
