// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdlib>
#include <string>

namespace dynascope::test {

/// True where a test may take its time: DYNASCOPE_LONG_TESTS=1, which scripts/test --full sets.
inline bool long_tests() {
  const char* wanted = std::getenv("DYNASCOPE_LONG_TESTS");
  return wanted != nullptr && std::string(wanted) == "1";
}

}  // namespace dynascope::test
