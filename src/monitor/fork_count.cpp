// SPDX-License-Identifier: BSD-3-Clause
#include "fork_count.hpp"

#include <atomic>
#include <pthread.h>

namespace dynascope::monitor {
namespace {

std::atomic<int> forks{0};

}  // namespace

int fork_count() noexcept {
  static const int registered = ::pthread_atfork(nullptr, nullptr, [] { ++forks; });
  static_cast<void>(registered);
  return forks.load(std::memory_order_relaxed);
}

}  // namespace dynascope::monitor
