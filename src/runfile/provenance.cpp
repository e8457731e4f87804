// SPDX-License-Identifier: BSD-3-Clause
#include "provenance.hpp"

#include "schema.hpp"

#include <dynascope/version.hpp>

#include <array>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <random>
#include <unistd.h>

namespace dynascope::provenance {
namespace {

constexpr size_t kLongestCommand = 4096;

std::string history_line(const std::string& when, const std::string& what, const std::string& command) {
  return when + " " + what + " by dynascope " DYNASCOPE_VERSION ": " + command;
}

}  // namespace

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

std::string random_uuid() {
  constexpr const char* kDigits = "0123456789abcdef";
  std::random_device device;
  std::string uuid = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
  for (char& c : uuid) {
    const auto random = static_cast<uint32_t>(device());
    if (c == 'x') {
      c = kDigits[random & 15U];
    } else if (c == 'y') {
      c = kDigits[8U + (random & 3U)];
    }
  }
  return uuid;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) {
    return "unknown";
  }
  return name.data();
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string command;
  std::string argument;
  while (command.size() < kLongestCommand && std::getline(file, argument, '\0')) {
    const bool quote = argument.empty() || argument.find_first_of(" \t\n'\"") != std::string::npos;
    command += (command.empty() ? "" : " ");
    command += quote ? "\"" + argument + "\"" : argument;
  }
  return command.substr(0, kLongestCommand);
}

RunProvenance of_this_process(const FileKind& kind) {
  RunProvenance made;
  made.schema_version = kind.version;
  made.definitions_version = schema::kDefinitionsVersion;
  made.creator_version = DYNASCOPE_VERSION;
  made.created = now_utc();
  made.run_id = random_uuid();
  made.host = host_name();
  made.command = command_line();
  made.history = history_line(made.created, "created", made.command);
  return made;
}

RunProvenance continued(RunProvenance from, const std::string& what) {
  from.history += (from.history.empty() ? "" : "\n") + history_line(now_utc(), what, command_line());
  return from;
}

}  // namespace dynascope::provenance
