// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/training_callback.hpp>

namespace dynascope {

TrainingCallback::~TrainingCallback() = default;

}  // namespace dynascope
