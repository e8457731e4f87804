// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/sink.hpp>

#include <optional>
#include <string>
#include <vector>

namespace dynascope::monitor {

/// Finds the first row in which a node strength or link weight is not finite. Found on the host: asking the device each
/// step would cost a synchronisation.
class NonFiniteFinder {
 public:
  NonFiniteFinder(const RunDescription& description, const RowLayout& layout);

  /// An event that names the first layers (execution order) and unit, once; nothing for finite rows and ever after.
  std::optional<Event> operator()(const Row& row);

 private:
  std::string node_text(const Row& row, double& unit) const;
  std::string link_text(const Row& row) const;

  std::vector<std::string> node_layers_, weight_layers_;
  std::vector<Span> strengths_;  // of each node layer
  Span nodes_, links_;           // counts; empty where there are no such layers
  bool found_ = false;
};

}  // namespace dynascope::monitor
