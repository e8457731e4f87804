// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How units flow from weight layer to weight layer: the form between a recording (or a NetworkBuilder) and the Network.
//
// A tensor's axes are products of atoms. An atom is an axis of the tensor that an origin made (a weight layer, an
// input, a sum, a join), or something made of other atoms: a part that a view split off, chosen coordinates, a
// resampling. Atoms stay symbolic while operators run; where coordinates are needed, relation.hpp counts them out, axis
// by axis. The alternative, carrying an index for every unit through every operator, costs the size of the tensors and
// cannot tell a position from a feature.
//
// Every activation has one origin. An operator with several activations makes a new one, with atoms of its own, and
// each operand says what these atoms are in its own terms (Operand::image). Later passes put the image in place of the
// atoms: a join vanishes so, and a sum that an operand is absorbed by takes over its links.

#include <dynascope/network.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dynascope::network {

using AtomId = int32_t;

/// A tensor's axis: a row-major product of atoms. Empty: size 1.
using Axis = std::vector<AtomId>;

struct Atom {
  enum class Made {
    kProduced,   ///< an axis of an origin's tensor
    kPart,       ///< a factor of `base`, which a view split
    kGathered,   ///< coordinates of `base`, by `map`
    kResampled,  ///< a linear map of `base`
    kAveraged,   ///< all of `base` taken evenly into one coordinate
    kMixed,      ///< made of all of `base` in a way that nobody follows (attention over tokens)
  };
  int64_t size = 1;
  Made made = Made::kProduced;
  Axis base;                         ///< one atom, but for gathered and mixed
  Axis parts;                        ///< when split: outer to inner
  std::vector<int64_t> map;          ///< gathered: row-major coordinate in base, -1 where there is none
  std::vector<double> coefficients;  ///< resampled, averaged: (size, size of base)
  bool batch = false;                ///< produced: the first axis of an input, or what comes from it
  AtomId mirror = -1;                ///< produced: the atom of the tensor read that a position by position layer kept
};

/// A tensor whose units come from one origin.
struct Activation {
  int32_t origin = -1;
  std::vector<Axis> dims;
  Axis gone;  ///< atoms of axes that are no longer there: averaged, or one coordinate chosen
};

/// What the atoms of a sum or join are in terms of one operand.
using Image = std::map<AtomId, Axis>;

struct Operand {
  Activation value;
  Image image;  ///< of every atom of the origin's dims
};

/// One use of a weight that writes to an origin.
struct Writer {
  int32_t use = -1;
  int64_t first = 0;   ///< feature of the origin that the weight's first output writes
  int64_t count = -1;  ///< features that it writes; -1: all
  int64_t blocks = 1;  ///< outputs per feature, `count` apart: gates of a recurrent layer
};

/// A tensor that units come from.
struct Origin {
  enum class Kind { kInput, kWeight, kSum, kJoin, kUnknown };
  Kind kind = Kind::kInput;
  std::string name;               ///< of its own; empty: numbered, or the weight's module
  bool given = false;             ///< input: named by the user, not just seen
  bool no_batch = false;          ///< input: every axis is a unit axis
  bool product = false;           ///< sum: of factors
  std::vector<Writer> writers;    ///< weight; empty otherwise
  std::vector<Operand> operands;  ///< join
  std::vector<int32_t> sources;   ///< origins that it derives from
  std::vector<Axis> dims;
  Axis features;                ///< what outputs are counted along; empty: not known (inputs)
  std::vector<Axis> positions;  ///< position axes that a convolution wrote, one atom each
};

/// Someone who reads an activation.
struct Read {
  enum class Kind { kLinear, kConvolution, kOperand, kScores, kOutput, kUnknown };
  Kind kind = Kind::kLinear;
  Activation value;
  Axis features;                ///< linear, convolution: what the weight's inputs count
  std::vector<Axis> positions;  ///< convolution
  int32_t use = -1;             ///< linear, convolution
  int32_t sum = -1;             ///< operand: the origin that it is added to
  int32_t term = 0;             ///< operand: which one
  Image image;                  ///< operand
  std::string operation;        ///< unknown: the operator
  std::string reason;           ///< unknown: why it is no link
  bool may_resample = false;    ///< unknown: what it makes may have other units than what it reads
};

/// One use of one weight.
struct Use {
  WeightLayer layer;    ///< without ends; its name is the parameter's path
  std::string owner;    ///< path of the module or layer that it belongs to, never empty
  int32_t origin = -1;  ///< what it writes; -1: not placed
  /// The weight is rows of a parameter from this one on, and its name and owner end in `range`, say "[6:18]".
  int64_t first_row = 0;
  std::string range;
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
  std::vector<ComputedWeight> computed;
};

inline const Atom& atom_of(const Flow& flow, AtomId id) { return flow.atoms[static_cast<size_t>(id)]; }

/// The atoms that `axis` consists of now, after all splits.
Axis leaves_of(const Flow& flow, const Axis& axis);

/// All leaves of an activation, those of axes that are gone too.
Axis all_leaves(const Flow& flow, const Activation& value);

int64_t size_of(const Flow& flow, const Axis& axis);

/// Every atom that `axis` is made of, itself included.
std::vector<AtomId> ancestry(const Flow& flow, const Axis& axis);

}  // namespace dynascope::network
