// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <sys/types.h>

namespace dynascope::monitor {

/// Calls `close` when the program calls exit() while this object lives.
///
/// exit() runs no destructors of the stack, so that a run under way would lose what is not flushed. HDF5 shuts itself
/// down at exit as well, last in, first out: make this object when it is in use already. A forked child, which has
/// no writer thread, calls nothing.
class ExitHook {
 public:
  explicit ExitHook(std::function<void()> close);
  ~ExitHook();  ///< waits for a call under way in another thread
  ExitHook(const ExitHook&) = delete;
  ExitHook& operator=(const ExitHook&) = delete;

 private:
  static void run();

  std::function<void()> close_;
  pid_t process_;
};

}  // namespace dynascope::monitor
