// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/error.hpp>
#include <dynascope/validate.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace dynascope {

/// Collects violations, one line each.
class Findings {
 public:
  explicit Findings(std::string path) : prefix_(std::move(path) + ": ") {}

  /// Remembers a violation where `holds` is false; returns `holds`.
  bool require(bool holds, const std::string& object, std::string message) {
    if (!holds && list_.size() < kMost) {
      std::replace(message.begin(), message.end(), '\n', ' ');
      list_.push_back({object, std::move(message)});
    }
    return holds;
  }

  /// Runs a check that may meet something unreadable, which then is a violation of its own.
  template <class Check>
  void attempt(const std::string& object, Check check) {
    try {
      check();
    } catch (const Error& error) {
      const std::string message = error.what();
      require(false, object, message.rfind(prefix_, 0) == 0 ? message.substr(prefix_.size()) : message);
    }
  }

  const std::vector<Violation>& list() const noexcept { return list_; }

 private:
  static constexpr size_t kMost = 1000;

  std::string prefix_;
  std::vector<Violation> list_;
};

}  // namespace dynascope
