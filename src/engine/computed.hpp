// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/network.hpp>

namespace dynascope::engine {

/// Computes the weights of `network` that are no parameters from those as they are now. Enqueues on the current stream.
void compute_weights(const Network& network);

/// The same after parameters have moved: in memory of where they are now, which the weight layers then hold.
void compute_weights_anew(Network& network);

}  // namespace dynascope::engine
