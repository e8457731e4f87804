// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "trainer.hpp"

#include <dynascope/run_description.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace examples {

/// Processes that train, each with one thread, and hand whole groups to this process, the only one that writes.
///
/// Processes rather than threads because networks this small keep no second thread busy, and because LibTorch and HDF5
/// each have locks that all threads of a process share. They are forked with the data in memory. HDF5 has no file that
/// several processes write; a file each would have to be merged, by a second program that can be killed too.
class Workers {
 public:
  /// Forks; to be called before this process has trained anything or opened a file. A worker ends when this process
  /// does, however it ends.
  Workers(const Trainer& trainer, const std::vector<Group>& groups, int64_t jobs);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Trains the groups at these positions, and hands each to `take` in this order, whichever is ready first.
  /// @param on_epoch  called with the number of members that an epoch of some group made
  /// @throws std::runtime_error when a worker fails or dies (says with which group)
  void train(const std::vector<int64_t>& positions, const dynascope::RunDescription& description,
             const std::function<void(int64_t)>& on_epoch, const std::function<void(const Trained&)>& take);

 private:
  struct Worker {
    int socket = -1;
    int process = -1;
    std::optional<int64_t> group;
  };

  void assign(Worker& worker, int64_t position, const dynascope::RunDescription& description);
  /// One message of a worker; a finished group is put into `ready`.
  void receive(Worker& worker, const std::function<void(int64_t)>& on_epoch, std::map<int64_t, Trained>& ready);

  std::vector<Worker> workers_;
};

}  // namespace examples
