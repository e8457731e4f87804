// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The library's voice on stderr. spdlog stays behind this header: its fmt and the one that LibTorch ships must not meet
// in one translation unit.

#include <string_view>

namespace dynascope::monitor::log {

/// One line each. Environment variable DYNASCOPE_LOG (debug, info, warn, error, off; default warn) sets what is shown;
/// read once, at the first line.
void debug(std::string_view message) noexcept;
void info(std::string_view message) noexcept;
void warn(std::string_view message) noexcept;
void error(std::string_view message) noexcept;

}  // namespace dynascope::monitor::log
