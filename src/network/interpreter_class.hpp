// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The interpreter's inside, for its sources: interpreter.cpp hands operators on and keeps the signals, follow.cpp and
// contractions.cpp read those that are understood, barriers.cpp the others, explain.cpp ends with outputs and
// parameters.

#include "derivations.hpp"
#include "interpreter.hpp"
#include "operators.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::network {

/// Operators that make the same numbers of a parameter in another dtype or memory.
bool is_copy(const std::string& name);

constexpr const char* kNoActivation = "it reads no activation";

Signal activation_signal(const Activation& value);

class Interpreter {
 public:
  Interpreter(const Recording& recording, const ModuleTree& tree, bool inputs_given);

  Flow run();

 private:
  // interpreter.cpp
  void learn(ValueId id);
  Signal learn_view(ValueId id);
  Signal input(ValueId id);
  void read(const Operation& operation);
  void read_without_activations(const Operation& operation);
  void note_constant_layer(const Operation& operation);
  bool uses_parameters(const Operation& operation) const;
  bool has_kind(const Operation& operation, Signal::Kind kind) const;
  bool decides(const Operation& operation) const;
  void finish(const Operation& operation, const Signal& result, const std::vector<Activation>& more = {});
  void renew(const Operation& operation, const Signal& result, ValueId old, ValueId renewed, bool kept);

  // follow.cpp
  void follow(Call& call, const std::vector<Activation>& activations);
  Activation flow_of(Call& call, const std::vector<Activation>& activations);
  Activation combine(Call& call, const std::vector<Activation>& activations);
  void fold_bias(Call& call, const Activation& activation);
  bool is_product(const Operation& operation) const;
  void place_parameters(const Operation& operation);

  // contractions.cpp
  bool contracts(Call& call, const std::vector<Activation>& activations);
  void read_scores(Call& call, const std::vector<Activation>& activations);

  // barriers.cpp
  std::vector<int32_t> poison(const std::vector<Activation>& activations, const std::string& operation,
                              const std::string& reason);
  void stop(Call& call, const std::vector<Activation>& activations, const std::string& reason);
  bool may_resample(Call& call, const Activation& activation) const;
  void skip(const std::string& name, const std::string& reason);
  void add_loose_weights(Call& call, const std::string& reason);
  void add_loose_weight(int32_t parameter, const std::string& operation);
  Signal unknown(const std::string& operation, ValueId id, std::vector<int32_t> sources);

  // explain.cpp
  void read_outputs();
  std::vector<ValueId> unread() const;
  void explain_parameters();
  void note_use(int32_t parameter, const std::string& by);

  static std::vector<ValueId> operands(const Operation& operation);
  Signal& signal(ValueId id) { return signals_[static_cast<size_t>(id)]; }
  const Signal& signal(ValueId id) const { return signals_[static_cast<size_t>(id)]; }
  const Value& value(ValueId id) const { return recording_.values[static_cast<size_t>(id)]; }
  bool is_known(ValueId id) const { return known_[static_cast<size_t>(id)]; }
  void set(ValueId id, Signal signal);

  const Recording& recording_;
  const ModuleTree& tree_;
  const bool inputs_given_;
  const std::set<ValueId> made_inputs_;
  FlowBuilder builder_;
  Derivations derivations_;
  std::vector<Signal> signals_;
  std::vector<bool> known_;
  std::vector<std::string> used_by_;
  std::vector<bool> placed_;
  std::vector<int> readers_;
  std::vector<std::pair<int32_t, std::string>> constant_layers_;  ///< parameter, operator that reads constants with it
  std::set<ValueId> products_;                                    ///< values that is_product() made
};

}  // namespace dynascope::network
