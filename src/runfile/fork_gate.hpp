// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// fork() while another thread is inside HDF5 leaves a child in which HDF5's lock is held for ever: the child would hang
// when it exits. So whoever of ours is inside HDF5 says so here, and a fork waits for it, for a second at most. What a
// run file has open is closed in the child, which must not write into its parent's run.
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

/// The descriptor, kept until `forget`, is closed and becomes -1 in every forked child.
void remember(int* descriptor);
void forget(int* descriptor);

}  // namespace dynascope::fork_gate
