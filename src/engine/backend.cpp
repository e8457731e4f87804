// SPDX-License-Identifier: BSD-3-Clause
#include "backend.hpp"

#include "cpu_backend.hpp"
#ifdef DYNASCOPE_HAS_CUDA
#include "cuda_backend.hpp"
#endif

#include <dynascope/error.hpp>

namespace dynascope::engine {

std::unique_ptr<Backend> make_backend(const Plan& plan, int64_t slots, [[maybe_unused]] bool timed) {
  if (plan.device().is_cpu()) {
    return make_cpu_backend(plan, slots);
  }
#ifdef DYNASCOPE_HAS_CUDA
  if (plan.device().is_cuda()) {
    return make_cuda_backend(plan, slots, timed);
  }
  constexpr const char* kBackends = "cpu and cuda";
#else
  constexpr const char* kBackends = "cpu";
#endif
  throw Error("parameters must be on a device with a backend, got " + plan.device().str() + "; this build has " +
              kBackends);
}

}  // namespace dynascope::engine
