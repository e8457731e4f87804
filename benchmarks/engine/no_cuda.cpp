// SPDX-License-Identifier: BSD-3-Clause
#include "cuda.hpp"

namespace dynascope::bench {

bool register_cuda() { return false; }

}  // namespace dynascope::bench
