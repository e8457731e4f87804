// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdlib>
#include <string>

namespace dynascope::test {

/// True where a skip for want of a GPU is a failure: REQUIRE_GPU=1 in the environment.
inline bool gpu_is_required() {
  const char* required = std::getenv("REQUIRE_GPU");
  return required != nullptr && std::string(required) == "1";
}

}  // namespace dynascope::test

/// In SetUp(): skips with `reason`, unless it is empty; fails where a GPU is required.
#define DYNASCOPE_SKIP_UNLESS_EMPTY(reason)                   \
  do {                                                        \
    const std::string dynascope_reason = (reason);            \
    if (!dynascope_reason.empty()) {                          \
      if (::dynascope::test::gpu_is_required()) {             \
        FAIL() << "REQUIRE_GPU=1, but: " << dynascope_reason; \
      }                                                       \
      GTEST_SKIP() << dynascope_reason;                       \
    }                                                         \
  } while (false)
