// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What operators mean for units: closed lists, and one reader per operator that says so in the words of FlowBuilder.
// An operator that is on no list is a barrier.

#include "flow_builder.hpp"
#include "module_tree.hpp"
#include "recording.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace dynascope::network {

/// What a value is to the flow.
struct Signal {
  enum class Kind {
    kConstant,   ///< no units: buffers, factories, indices
    kPredicate,  ///< a decision made from activations (a mask, an argmax): no flow of its own
    kParameter,  ///< a parameter, or the elements of one in another order, dtype or shape
    kComputed,   ///< computed from parameters
    kScores,     ///< a contraction of activations: their units end in it
    kActivation,
  };
  Kind kind = Kind::kConstant;
  Activation activation;
  std::vector<Activation> decided_by;  ///< predicate
  int32_t parameter = -1;
  std::set<int32_t> made_of;  ///< computed: all of its parameters
  bool of_constants = false;  ///< computed: of constants too
  at::Tensor view;            ///< parameter: shares its storage
  ValueId value = -1;
  bool soft = false;  ///< activation: made by a softmax, so that a contraction applies it as scores
};

class Derivations;

/// One operator with the signals of its operands.
struct Call {
  const Operation& operation;
  const std::vector<Value>& values;
  const std::vector<Signal>& signals;  ///< by ValueId
  const ModuleTree& tree;
  FlowBuilder& builder;
  Derivations& derivations;
  std::vector<Activation> more = {};  ///< what a reader makes beside the first output, by output

  const Argument* find(const char* name) const;
  bool has(const char* name) const;  ///< a tensor that is there
  const Signal& signal(const char* name) const;
  /// @throws NotFollowed unless the argument is an activation
  const Activation& activation(const char* name) const;
  int64_t integer(const char* name, int64_t otherwise) const;
  bool flag(const char* name, bool otherwise) const;
  /// An integer list; one value, or none, is repeated for `count` axes (0: as it is).
  std::vector<int64_t> integers(const char* name, size_t count, int64_t otherwise) const;
  const std::vector<int64_t>& output_sizes(size_t output = 0) const;
  /// A list of tensors.
  std::vector<const Signal*> list(const char* name) const;
  std::vector<Activation> activations() const;
};

using Reader = Activation (*)(Call&);

/// The reader of an operator that moves units or links them; null where there is none.
Reader find_reader(const std::string& name);

/// Pointwise operators and normalisations; without the trailing "_" of in-place forms.
bool is_transparent(const std::string& name);

/// Sums and elementwise products: with one activation transparent, with several a node layer of their own.
enum class Combination { kNone, kSum, kProduct };
Combination combination_of(const std::string& name);

/// Contracts its operands (matmul, bmm): of two activations it makes scores.
bool is_contraction(const std::string& name);

/// What scores are applied to keeps its units (docs/metrics.md, section 1, rule 6).
/// @param value  name of the operand that is no scores
Activation apply_scores(Call& call, const char* value);

/// Exchanges rows and columns of a matrix, in whatever spelling.
bool transposes(const Operation& operation);

/// Makes values that hold no units whatever its operands are (zeros_like).
bool is_factory(const std::string& name);

/// Reads parameters as weights, and is not placed: why. Empty for all others.
std::string unplaced_layer(const std::string& name);

/// Reads parameters as weights, and is placed.
bool is_placed_layer(const std::string& name);

/// Reads parameters as weights, placed or not.
bool is_layer(const std::string& name);

/// Recorded as a whole, not by its parts.
bool is_whole(const std::string& name);

// One per family; see the files of the same name.
Reader find_linear_reader(const std::string& name);
Reader find_convolution_reader(const std::string& name);
Reader find_pooling_reader(const std::string& name);
Reader find_shape_reader(const std::string& name);
Reader find_join_reader(const std::string& name);
Reader find_padding_reader(const std::string& name);
Reader find_upsampling_reader(const std::string& name);
Reader find_embedding_reader(const std::string& name);
Reader find_recurrent_reader(const std::string& name);
Reader find_attention_reader(const std::string& name);

/// An axis as torch counts it, from the end where it is negative.
size_t wrap(int64_t dim, size_t rank);

/// "aten::relu_" -> "relu"; empty for other namespaces.
std::string plain_name(const std::string& name);

/// A weight's use: the parameter, its path, and whether dimension 0 holds the inputs.
/// @param output_dim  the dimension of `signal`'s tensor that holds the outputs
/// @throws NotFollowed when it is not a parameter, or not a range of its rows
Use use_of_parameter(const Call& call, const Signal& signal, const char* operator_name, int64_t output_dim);

/// The bias operand `name`, a parameter or computed from parameters; undefined where there is none.
/// @throws NotFollowed when it is neither, or has not `outputs` elements
at::Tensor bias_of(const Call& call, const char* name, int64_t outputs);
at::Tensor bias_of(const Call& call, const Signal& signal, int64_t outputs);

}  // namespace dynascope::network
