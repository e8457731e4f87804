// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/sink.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace dynascope::monitor {

/// Where measured values lie, slot by slot, until they are written: the writer's view of a backend.
class Blocks {
 public:
  virtual ~Blocks() = default;
  virtual bool ready(int64_t slot) = 0;
  virtual void wait(int64_t slot) = 0;
  virtual const std::byte* row(int64_t slot) const = 0;

  /// Seconds that a complete row took on a device of its own; 0 where it has none, or is not timed.
  virtual double device_seconds(int64_t /*slot*/) { return 0; }
};

/// What became of the parameters.
struct Change {
  EventCode code = EventCode::kReplanned;  ///< or kLayerLost: nothing can be measured any more
  std::string message;
};

/// What is recorded: the bookkeeping's view of parameters, plan and backend.
class Subject {
 public:
  virtual ~Subject() = default;

  /// What changed since the last call, if anything did.
  /// @param registrations  look for replaced parameters too (slower: at epoch ends)
  virtual std::optional<Change> check(bool registrations) = 0;

  /// Measures the parameters as they are now into `slot` of the blocks that it returns.
  /// @throws anything; recording then stops
  virtual std::shared_ptr<Blocks> measure(int64_t slot, bool histogram) = 0;
};

}  // namespace dynascope::monitor
