// SPDX-License-Identifier: BSD-3-Clause
#include "log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace dynascope::monitor::log {
namespace {

spdlog::level::level_enum level_from_environment() {
  const char* text = std::getenv("DYNASCOPE_LOG");
  const std::string name = text == nullptr ? "" : text;
  for (const auto level : {spdlog::level::debug, spdlog::level::info, spdlog::level::err, spdlog::level::off}) {
    if (name == spdlog::level::to_short_c_str(level) || spdlog::level::to_string_view(level) == name.c_str()) {
      return level;
    }
  }
  return spdlog::level::warn;
}

// Never destroyed: a Monitor with static storage may speak while the process ends.
spdlog::logger& logger() {
  static auto* instance = [] {
    auto* made = new spdlog::logger("dynascope", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(level_from_environment());
    made->set_pattern("[%n] %l: %v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

void say(spdlog::level::level_enum level, std::string_view message) noexcept {
  try {
    logger().log(level, spdlog::string_view_t(message.data(), message.size()));
  } catch (...) {  // a log that cannot be written must not harm who logs
  }
}

}  // namespace

void debug(std::string_view message) noexcept { say(spdlog::level::debug, message); }
void info(std::string_view message) noexcept { say(spdlog::level::info, message); }
void warn(std::string_view message) noexcept { say(spdlog::level::warn, message); }
void error(std::string_view message) noexcept { say(spdlog::level::err, message); }

}  // namespace dynascope::monitor::log
