// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "engine/backend.hpp"
#include "engine/plan.hpp"

#include <cstdint>
#include <memory>

namespace dynascope::test {

/// The kernels of cuda/, run on the host by the stand-in of tests/support/host_device; parameters live on the cpu.
std::unique_ptr<engine::Backend> make_host_device_backend(const engine::Plan& plan, int64_t slots);

}  // namespace dynascope::test
