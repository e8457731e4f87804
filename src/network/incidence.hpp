// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which tap of a kernel links which coordinate, axis by axis (docs/metrics.md, section 3). Separable: nothing of the
// size of an image times a kernel is ever built.

#include <dynascope/metric_options.hpp>
#include <dynascope/network.hpp>

#include <cstdint>
#include <vector>

namespace dynascope::network {

/// u of docs/metrics.md: coefficient of each tap in the in-strength of each coordinate that the reader sees,
/// (kernel, seen) row-major. `resampling` may be null (seen = output coordinates).
std::vector<double> in_coefficients(const ConvolutionAxis& axis, bool transposed, const Resampling* resampling,
                                    Padding padding);

/// v: coefficient of each tap in the out-strength of each input coordinate, (kernel, input) row-major, towards one of
/// the node layers that the weight layer writes. A weight layer that writes several gives its sources one such product
/// of axes for each: a sum over node layers axis by axis would not be separable.
std::vector<double> out_coefficients(const ConvolutionAxis& axis, bool transposed, const Resampling* resampling);

/// What a resampling makes of a constant map of ones, (seen,): the factor of the producer's bias. Ones without
/// resampling.
std::vector<double> constant_coefficients(int64_t size, const Resampling* resampling);

/// Coordinates of one axis, grouped.
struct Classes {
  std::vector<int32_t> of;     ///< coordinate -> class, classes numbered by first appearance
  std::vector<int64_t> first;  ///< class -> its first coordinate
  std::vector<int64_t> size;   ///< class -> number of coordinates
};

/// Groups the coordinates of an axis whose columns are equal in all `tables`; each is (rows, size) row-major with as
/// many rows as it likes. No tables: one class. `apart`: every coordinate its own class (a reader tells them apart).
Classes classes_of(int64_t size, const std::vector<std::vector<double>>& tables, bool apart);

}  // namespace dynascope::network
