// SPDX-License-Identifier: BSD-3-Clause
#include "fork_gate.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
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
  std::shared_timed_mutex inside;                   // shared by the threads in HDF5
  std::mutex list;                                  // held for a few instructions only
  std::vector<std::pair<int*, std::mutex*>> files;  // descriptor, what guards the file
  bool held_by_fork = false;
};

thread_local int depth = 0;

// Never destroyed: files may outlive static objects.
Gate& gate();

void before_fork() {
  const bool held = gate().inside.try_lock_for(std::chrono::seconds(1));
  gate().list.lock();
  gate().held_by_fork = held;
  for (const auto& file : gate().files) {
    file.second->lock();
  }
}

void unlock_files() {
  for (const auto& file : gate().files) {
    file.second->unlock();
  }
}

void after_fork() {
  unlock_files();
  const bool held = gate().held_by_fork;
  gate().list.unlock();
  if (held) {
    gate().inside.unlock();
  }
}

// Opened anew for reading: HDF5 looks into its files when it ends with the process, and crashes where it cannot.
int without_writing(int descriptor) {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", descriptor);
  const int reading = ::open(path.data(), O_RDONLY | O_CLOEXEC);
  ::close(descriptor);
  return reading;
}

void in_child() {
  unlock_files();
  for (const auto& file : gate().files) {
    *file.first = without_writing(*file.first);
  }
  gate().files.clear();
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

void remember(int* descriptor, std::mutex* mutex) {
  const std::lock_guard lock(gate().list);
  gate().files.emplace_back(descriptor, mutex);
}

void forget(int* descriptor) {
  const std::lock_guard lock(gate().list);
  auto& files = gate().files;
  files.erase(std::remove_if(files.begin(), files.end(), [&](const auto& file) { return file.first == descriptor; }),
              files.end());
}

}  // namespace dynascope::fork_gate
