// SPDX-License-Identifier: BSD-3-Clause
#include "fork_gate.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <new>
#include <pthread.h>
#include <shared_mutex>
#include <unistd.h>
#include <utility>
#include <vector>

namespace dynascope::fork_gate {
namespace {

struct Gate {
  std::shared_timed_mutex inside;  // shared by the threads in HDF5
  std::mutex list;                 // held for a few instructions only
  std::vector<int*> descriptors;
  bool held_by_fork = false;
};

thread_local int depth = 0;

// Never destroyed: files may outlive static objects.
Gate& gate();

void before_fork() {
  const bool held = gate().inside.try_lock_for(std::chrono::seconds(1));
  gate().list.lock();
  gate().held_by_fork = held;
}

void after_fork() {
  const bool held = gate().held_by_fork;
  gate().list.unlock();
  if (held) {
    gate().inside.unlock();
  }
}

void in_child() {
  for (int* descriptor : gate().descriptors) {
    ::close(std::exchange(*descriptor, -1));
  }
  gate().descriptors.clear();
  gate().list.unlock();
  // Unlocking would not do: a lock of this kind is its thread's, and the child's thread has another number.
  new (&gate().inside) std::shared_timed_mutex;
}

Gate& gate() {
  static auto* instance = [] {
    auto* made = new Gate;
    ::pthread_atfork(before_fork, after_fork, in_child);
    return made;
  }();
  return *instance;
}

}  // namespace

Inside::Inside() {
  if (depth++ == 0) {
    gate().inside.lock_shared();
  }
}

Inside::~Inside() {
  if (--depth == 0) {
    gate().inside.unlock_shared();
  }
}

Outside::Outside() : depth_(std::exchange(depth, 0)) {
  if (depth_ > 0) {
    gate().inside.unlock_shared();
  }
}

Outside::~Outside() {
  if (depth_ > 0) {
    gate().inside.lock_shared();
  }
  depth = depth_;
}

void remember(int* descriptor) {
  const std::lock_guard lock(gate().list);
  gate().descriptors.push_back(descriptor);
}

void forget(int* descriptor) {
  const std::lock_guard lock(gate().list);
  auto& all = gate().descriptors;
  all.erase(std::remove(all.begin(), all.end(), descriptor), all.end());
}

}  // namespace dynascope::fork_gate
