// SPDX-License-Identifier: BSD-3-Clause
#include "exit_hook.hpp"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unistd.h>
#include <utility>
#include <vector>

namespace dynascope::monitor {
namespace {

struct Hooks {
  std::recursive_mutex mutex;  // what is called may destroy its hook
  std::vector<ExitHook*> alive;
};

// Never destroyed: Monitors with static storage outlive whatever was made later.
Hooks& hooks() {
  static auto* instance = new Hooks;
  return *instance;
}

}  // namespace

ExitHook::ExitHook(std::function<void()> close) : close_(std::move(close)), process_(::getpid()) {
  const std::lock_guard lock(hooks().mutex);
  hooks().alive.push_back(this);
  std::atexit(&ExitHook::run);  // each time: an earlier call may lie behind HDF5's own
}

ExitHook::~ExitHook() {
  const std::lock_guard lock(hooks().mutex);
  auto& alive = hooks().alive;
  alive.erase(std::remove(alive.begin(), alive.end(), this), alive.end());
}

void ExitHook::run() {
  const std::lock_guard lock(hooks().mutex);
  auto& alive = hooks().alive;
  while (!alive.empty()) {
    ExitHook* const last = alive.back();
    alive.pop_back();
    const bool mine = last->process_ == ::getpid();
    const auto close = std::move(last->close_);
    if (mine) {
      close();
    }
  }
}

}  // namespace dynascope::monitor
