// SPDX-License-Identifier: BSD-3-Clause
// The end of an interpretation: outputs, and parameters that no layer uses. How their reasons begin is part of the run
// file (SkippedInfo).
#include "interpreter_class.hpp"

#include <algorithm>

namespace dynascope::network {

using Kind = Signal::Kind;

void Interpreter::read_outputs() {
  std::vector<ValueId> outputs = recording_.outputs;
  if (outputs.empty()) {
    outputs = unread();
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    learn(outputs[i]);
    const Signal& output = signal(outputs[i]);
    const std::string name = outputs.size() == 1 ? "output" : "output" + std::to_string(i);
    if (output.kind == Kind::kActivation) {
      builder_.output(output.activation);
      const Origin& origin = builder_.origin_of(output.activation);
      if (origin.kind == Origin::Kind::kUnknown) {
        skip(name, "a returned tensor was made by " + origin.name + ", which is not understood");
      }
    } else if (output.kind == Kind::kPredicate) {
      const std::string reason = "a returned tensor is a decision made from activations; return the activations";
      skip(name, reason);
      poison(output.decided_by, name, reason);
    } else if (value(outputs[i]).floating) {
      skip(name, output.kind == Kind::kScores ? "a returned tensor holds scores, in which units end"
                                              : "a returned tensor is made of no activation");
    }
  }
}

/// What a callable that returns nothing leaves behind: values made by operators that no operator read.
std::vector<ValueId> Interpreter::unread() const {
  std::set<ValueId> gone;
  for (const Operation& operation : recording_.operations) {
    for (const auto& [old, renewed] : operation.aliases) {
      gone.insert({old, renewed});
    }
  }
  std::vector<ValueId> result;
  for (const Operation& operation : recording_.operations) {
    for (const ValueId id : operation.outputs) {
      if (readers_[static_cast<size_t>(id)] == 0 && gone.count(id) == 0 && signal(id).kind == Kind::kActivation) {
        result.push_back(id);
      }
    }
  }
  return result;
}

void Interpreter::explain_parameters() {
  std::set<size_t> computes;  // weights and biases
  for (const ComputedWeight& computed : builder_.flow.computed) {
    computes.insert(computed.parameters.begin(), computed.parameters.end());
  }
  for (const size_t parameter : computes) {
    placed_[parameter] = true;
  }
  for (const auto& [parameter, operation] : constant_layers_) {
    if (computes.count(static_cast<size_t>(parameter)) == 0) {
      skip(operation, kNoActivation);
      add_loose_weight(parameter, operation);
    }
  }
  for (size_t i = 0; i < tree_.parameters.size(); ++i) {
    const std::string& name = tree_.parameters[i].name;
    const bool linked = std::any_of(builder_.flow.uses.begin(), builder_.flow.uses.end(), [&](const Use& use) {
      return use.layer.weight.is_same(tree_.parameters[i].value) || use.layer.bias.is_same(tree_.parameters[i].value);
    });
    if (used_by_[i].empty()) {
      builder_.flow.skipped.push_back({name, "no operator used it in the traced forward pass (on this thread)"});
    } else if (!placed_[i] && !linked) {
      builder_.flow.skipped.push_back({name, "used by " + used_by_[i]});
    }
  }
}

void Interpreter::note_use(int32_t parameter, const std::string& by) {
  std::string& noted = used_by_[static_cast<size_t>(parameter)];
  noted = noted.empty() ? by : noted;
}

}  // namespace dynascope::network
