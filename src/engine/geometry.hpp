// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Where the links of a node layer end, coordinate by coordinate, and which coordinates are alike (docs/metrics.md,
// section 3). Values play no part here.

#include "network/incidence.hpp"

#include <dynascope/metric_options.hpp>
#include <dynascope/network.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace dynascope::engine {

/// Coefficients per axis, (rows, coordinates) row-major; empty: 1 everywhere.
using AxisTables = std::array<std::vector<double>, 3>;

/// One way in which a weight layer, or identity links, meet a node layer.
struct Contact {
  int32_t weight_layer;  ///< -1: identity links, of weight 1
  bool outgoing;
  const LinkEnd* end;
  AxisTables taps;  ///< per kernel axis, (kernel, coordinates), later (kernel, classes)
  AxisTables bias;  ///< targets only: of the bias, (1, coordinates), later (1, classes)
};

/// The stored form of a node layer: the coordinates of each position axis in classes, and all contacts, tables reduced
/// to one column per class. With Granularity::kChannel there are no axes and no tables.
struct Geometry {
  std::vector<network::Classes> axes;
  std::vector<Contact> contacts;  ///< by weight layer, then identity links; of each its targets, then its sources
};

/// Geometry of every node layer of `network`. A source has one contact for each node layer that its weight layer
/// writes.
/// @throws Error when sizes do not fit together (says where)
std::vector<Geometry> geometry_of(const Network& network, const MetricOptions& options);

}  // namespace dynascope::engine
