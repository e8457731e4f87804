// SPDX-License-Identifier: BSD-3-Clause
// The end of an interpretation: outputs, and parameters that no layer uses.
#include "interpreter_class.hpp"

#include <algorithm>

namespace dynascope::network {

using Kind = Signal::Kind;

void Interpreter::read_outputs() {
  std::vector<ValueId> outputs = recording_.outputs;
  if (outputs.empty()) {
    outputs = unread();
  }
  for (const ValueId id : outputs) {
    learn(id);
    const Signal& output = signal(id);
    if (output.kind == Kind::kActivation) {
      builder_.output(output.activation);
    } else if (output.kind == Kind::kPredicate) {
      const std::string reason = "a decision made from activations is returned; return the activations";
      skip("output", reason);
      poison(output.decided_by, "output", reason);
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
  for (size_t i = 0; i < tree_.parameters.size(); ++i) {
    const std::string& name = tree_.parameters[i].name;
    const bool linked = std::any_of(builder_.flow.uses.begin(), builder_.flow.uses.end(), [&](const Use& use) {
      return use.layer.weight.is_same(tree_.parameters[i].value) || use.layer.bias.is_same(tree_.parameters[i].value);
    });
    if (used_by_[i].empty()) {
      builder_.flow.skipped.push_back({name, "no operator used it in the traced forward pass"});
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
