// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How units flow from weight layer to weight layer: the form between a recording (or a NetworkBuilder) and the Network.
//
// A tensor's axes are products of atoms. An atom is an axis of the tensor that a weight layer wrote, or of an input; a
// view may split it into parts, pooling makes a new one out of it. With that, view, flatten and permute are exact: two
// readers see the same units when they name the same atoms, in whatever order. The alternative, carrying an index for
// every unit through every operator, costs the size of the tensors and cannot tell a position from a feature.

#include <dynascope/network.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dynascope::network {

using AtomId = int32_t;

/// A tensor's axis: a row-major product of atoms. Empty: size 1.
using Axis = std::vector<AtomId>;

struct Atom {
  enum class Made {
    kProduced,   ///< an axis of a weight layer's output, or of an input
    kPart,       ///< a factor of `base`, which a view split
    kResampled,  ///< pooling along `base`
    kAveraged,   ///< all of `base` pooled evenly into one coordinate
    kSelected,   ///< some coordinates of `base`
    kPadded,     ///< `base` with constant cells around it
  };
  int64_t size = 1;
  Made made = Made::kProduced;
  AtomId base = -1;
  Axis parts;                        ///< when split: outer to inner
  std::vector<double> coefficients;  ///< resampled, averaged: (size, size of base)
  int64_t before = 0;                ///< padded: cells before the first coordinate of base
};

/// A tensor whose units come from one origin.
struct Activation {
  int32_t origin = -1;
  std::vector<Axis> dims;
  Axis gone;  ///< averaged or selected atoms of axes that are no longer there
};

/// A tensor that units come from.
struct Origin {
  enum class Kind { kInput, kWeight, kUnknown };
  Kind kind = Kind::kInput;
  std::string name;              ///< input: its name, empty to be numbered; unknown: the operator
  bool given = false;            ///< input: named by the user, not just seen
  bool no_batch = false;         ///< input: every axis is a unit axis
  int32_t use = -1;              ///< weight: which use writes it
  std::vector<int32_t> sources;  ///< origins that it derives from
  std::vector<Axis> dims;
  Axis features;                ///< weight: the axis that its outputs make
  std::vector<Axis> positions;  ///< convolution: its position axes
};

/// Someone who reads an activation.
struct Read {
  enum class Kind { kLinear, kConvolution, kOutput, kUnknown };
  Kind kind = Kind::kLinear;
  Activation value;
  Axis features;                ///< what the weight's inputs count: flattened features, or channels
  std::vector<Axis> positions;  ///< convolution
  int32_t use = -1;             ///< linear, convolution
  std::string operation;        ///< unknown: the operator
  std::string reason;           ///< unknown: why it is no link
  bool may_resample = false;    ///< unknown: what it makes may have other units than what it reads
};

/// One use of one weight.
struct Use {
  WeightLayer layer;       ///< without ends; its name is the parameter's path
  std::string owner;       ///< path of the module or layer that it belongs to, never empty
  int32_t read = -1;       ///< -1: not placed
  int32_t origin = -1;     ///< what it writes; -1: not placed
  bool open_bias = false;  ///< spelled as a product: a parameter added to it is its bias
  std::string loop;        ///< not empty: used again on what derives from its own output; why that is not placed
};

struct Flow {
  std::vector<Atom> atoms;
  std::vector<Origin> origins;  ///< execution order
  std::vector<Read> reads;      ///< execution order
  std::vector<Use> uses;        ///< execution order
  std::vector<SkippedInfo> skipped;
  std::vector<NamedParameter> parameters;
};

/// The atoms that `axis` consists of now, after all splits.
Axis leaves_of(const Flow& flow, const Axis& axis);

}  // namespace dynascope::network
