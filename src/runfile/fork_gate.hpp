// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <mutex>

// fork() while another thread is inside HDF5 leaves a child in which HDF5's lock is held for ever: the child would hang
// when it exits. So whoever of ours is inside HDF5 says so here, and a fork waits for it, for a second at most. The
// child must not write into its parent's run either.
namespace dynascope::fork_gate {

/// This thread is inside HDF5 while it lives; may be nested.
class Inside {
 public:
  Inside();
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

/// This thread has left HDF5 for a while, for something slow.
class Outside {
 public:
  Outside();
  ~Outside();
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  int depth_;
};

/// Kept until `forget`, the descriptor cannot write in a forked child, and is no share of its parent's open file. A
/// fork waits for `mutex`, which must only ever be held for moments, so that the child finds it free.
void remember(int* descriptor, std::mutex* mutex);
void forget(int* descriptor);

}  // namespace dynascope::fork_gate
