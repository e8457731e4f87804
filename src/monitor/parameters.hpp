// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "blocks.hpp"
#include "engine/plan.hpp"
#include "views.hpp"

#include <dynascope/module_ref.hpp>
#include <dynascope/network.hpp>
#include <dynascope/run_description.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace dynascope::monitor {

/// The parameters of the monitored modules, measured by a plan and its backend; compiled again when they move.
///
/// A move is noticed at the next step but compiled for only when a row is due: a parameter that changes places at
/// every step costs nothing between rows.
class Parameters final : public Subject {
 public:
  /// @param slots  as MonitorOptions::buffered_rows
  /// @param timed  keep the time that rows take on a device
  /// @throws Error as engine::Plan and engine::make_backend
  Parameters(NamedModules modules, Network network, engine::PlanOptions options, int64_t slots, bool timed);
  ~Parameters() override;

  /// Rows that fit between training and the sink.
  int64_t slots() const noexcept { return slots_; }

  /// Row 0 into `slot`, complete on return, with histogram edges that fit it.
  std::shared_ptr<Blocks> measure_first(int64_t slot);

  /// Instead of measure_first: the edges of a run that goes on.
  void adopt_edges(std::vector<double> edges);

  /// Layers, edges, device and backend; valid after one of these two.
  const RunDescription& description() const noexcept { return description_; }
  const RowLayout& layout() const noexcept { return layout_; }

  std::optional<Change> check(bool registrations) override;
  std::shared_ptr<Blocks> measure(int64_t slot, bool histogram) override;

 private:
  class Compiled;

  void describe();
  std::optional<Change> check_registrations();
  void compile_again();

  NamedModules modules_;
  engine::PlanOptions options_;
  int64_t slots_;  // 0 until the size of a row is known, where nobody gave a number
  bool timed_;
  Network network_;
  Views views_;
  std::vector<bool> is_registered_;  // per parameter of the network
  std::shared_ptr<Compiled> compiled_;
  RunDescription description_;
  RowLayout layout_;
  bool stale_ = false;  // moved since it was compiled
};

}  // namespace dynascope::monitor
