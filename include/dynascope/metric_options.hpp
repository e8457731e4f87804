// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/option.hpp>

#include <string_view>

namespace dynascope {

/// Whether biases count: into the in-strength of their unit and into the statistics of their weight layer.
enum class Bias { kIn, kNone };

/// The virtual link at input nodes (in-strength) and output nodes (out-strength): weight 1, or none.
enum class Boundary { kOne, kZero };

/// In-side of a padded convolution: taps that fall on padding are no links, or count like any other.
enum class Padding { kTrueEdges, kAllTaps };

/// What a node of a convolutional layer is: one unit (channel and position), or the whole channel.
enum class Granularity { kUnit, kChannel };

/// The choices that define the metrics (docs/metrics.md, section 2); stored in every run file.
///
/// Source: La Malfa et al., "Characterizing Learning Dynamics of Deep Neural Networks via Complex Networks"
/// (arXiv 2110.02628); where the paper is silent docs/metrics.md decides.
class DYNASCOPE_RUNFILE_API MetricOptions {
 public:
  /// The choices of the paper's authors: bias in, boundary one, all taps, units.
  static MetricOptions paper() { return MetricOptions().padding(Padding::kAllTaps); }

  DYNASCOPE_OPTION(Bias, bias) = Bias::kIn;
  DYNASCOPE_OPTION(Boundary, boundary) = Boundary::kOne;
  DYNASCOPE_OPTION(Padding, padding) = Padding::kTrueEdges;
  DYNASCOPE_OPTION(Granularity, granularity) = Granularity::kUnit;
};

/// The values as the run file spells them: "in"/"none", "one"/"zero", "true-edges"/"all-taps", "unit"/"channel".
constexpr std::string_view to_string(Bias value) { return value == Bias::kIn ? "in" : "none"; }
constexpr std::string_view to_string(Boundary value) { return value == Boundary::kOne ? "one" : "zero"; }
constexpr std::string_view to_string(Padding value) { return value == Padding::kTrueEdges ? "true-edges" : "all-taps"; }
constexpr std::string_view to_string(Granularity value) { return value == Granularity::kUnit ? "unit" : "channel"; }

}  // namespace dynascope
