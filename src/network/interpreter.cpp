// SPDX-License-Identifier: BSD-3-Clause
#include "interpreter_class.hpp"
#include "made_inputs.hpp"

#include <dynascope/error.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace dynascope::network {
namespace {

using Kind = Signal::Kind;

Signal parameter_signal(const Value& value) {
  Signal result;
  result.kind = Kind::kParameter;
  result.parameter = value.parameter;
  result.view = value.tensor;
  return result;
}

}  // namespace

bool is_copy(const std::string& name) {
  static const std::set<std::string> kNames = {"aten::to",    "aten::_to_copy",  "aten::contiguous",
                                               "aten::clone", "aten::detach",    "aten::type_as",
                                               "aten::alias", "aten::lift_fresh"};
  return kNames.count(name) != 0;
}

Signal activation_signal(const Activation& value) {
  Signal result;
  result.kind = Kind::kActivation;
  result.activation = value;
  return result;
}

Interpreter::Interpreter(const Recording& recording, const ModuleTree& tree, bool inputs_given)
    : recording_(recording),
      tree_(tree),
      inputs_given_(inputs_given),
      made_inputs_(inputs_given ? std::set<ValueId>() : find_made_inputs(recording)),
      derivations_(recording, tree),
      signals_(recording.values.size()),
      known_(recording.values.size(), false),
      used_by_(tree.parameters.size()),
      placed_(tree.parameters.size(), false),
      readers_(recording.values.size(), 0) {
  for (const Operation& operation : recording.operations) {
    for (const ValueId id : operands(operation)) {
      ++readers_[static_cast<size_t>(id)];
    }
  }
}

Flow Interpreter::run() {
  for (size_t id = 0; id < recording_.values.size(); ++id) {
    if (recording_.values[id].given) {
      learn(static_cast<ValueId>(id));  // numbered as they were given
    }
  }
  for (const Operation& operation : recording_.operations) {
    for (const ValueId id : operands(operation)) {
      learn(id);
    }
    read(operation);
  }
  read_outputs();
  if (std::all_of(used_by_.begin(), used_by_.end(), [](const std::string& by) { return by.empty(); })) {
    throw Error("the forward pass must use parameters of the traced module, it used none of its " +
                std::to_string(tree_.parameters.size()) +
                "; pass the module that forward runs, and run it on the calling thread");
  }
  explain_parameters();
  builder_.flow.parameters = tree_.parameters;
  return std::move(builder_.flow);
}

std::vector<ValueId> Interpreter::operands(const Operation& operation) {
  std::vector<ValueId> ids;
  for (const Argument& argument : operation.arguments) {
    std::copy_if(argument.values.begin(), argument.values.end(), std::back_inserter(ids),
                 [](ValueId id) { return id >= 0; });
  }
  return ids;
}

void Interpreter::set(ValueId id, Signal signal) {
  signal.value = id;
  signals_[static_cast<size_t>(id)] = std::move(signal);
  known_[static_cast<size_t>(id)] = true;
}

/// A value that no recorded operator made.
void Interpreter::learn(ValueId id) {
  if (is_known(id)) {
    return;
  }
  const Value& seen = value(id);
  Signal result;
  if (seen.kind == Value::Kind::kParameter) {
    result = parameter_signal(seen);
  } else if (seen.kind == Value::Kind::kOutside && (seen.given || made_inputs_.count(id) != 0)) {
    result = input(id);
  } else if (seen.kind == Value::Kind::kUnseenView) {
    result = learn_view(id);
  }
  set(id, std::move(result));
}

Signal Interpreter::input(ValueId id) {
  return activation_signal(builder_.input("", value(id).sizes, value(id).given, false));
}

Signal Interpreter::learn_view(ValueId id) {
  std::vector<Activation> shared;
  for (ValueId other = 0; other < id; ++other) {
    if (is_known(other) && value(other).storage == value(id).storage && signal(other).kind == Kind::kActivation) {
      shared.push_back(signal(other).activation);
    }
  }
  if (shared.empty()) {
    return {};
  }
  const std::string name = "a view made outside of any operator";
  return unknown(name, id, poison(shared, name, "which of its units it holds is not known"));
}

void Interpreter::read(const Operation& operation) {
  Call call{operation, recording_.values, signals_, tree_, builder_, derivations_};
  const std::vector<Activation> activations = call.activations();
  const std::string unplaced = unplaced_layer(operation.name);
  const bool looks_up = find_embedding_reader(plain_name(operation.name)) != nullptr && uses_parameters(operation);
  if (is_factory(operation.name)) {
    finish(operation, {});
  } else if (!operation.outputs.empty() && made_inputs_.count(operation.outputs[0]) != 0) {
    finish(operation, input(operation.outputs[0]));
  } else if (!unplaced.empty() && (!activations.empty() || uses_parameters(operation))) {
    stop(call, activations, unplaced + ", which is not placed");
  } else if (has_kind(operation, Kind::kScores)) {
    read_scores(call, activations);
  } else if (activations.empty() && !looks_up && is_placed_layer(operation.name) && uses_parameters(operation) &&
             has_kind(operation, Kind::kPredicate)) {
    stop(call, activations, kNoActivation);
  } else if (activations.empty() && !looks_up) {
    note_constant_layer(operation);
    read_without_activations(operation);
  } else if (operation.written.empty() && decides(operation)) {
    Signal result;
    result.kind = Kind::kPredicate;
    result.decided_by = activations;
    finish(operation, result);
  } else if (!contracts(call, activations)) {
    follow(call, activations);
  }
}

bool Interpreter::has_kind(const Operation& operation, Signal::Kind kind) const {
  const std::vector<ValueId> ids = operands(operation);
  return std::any_of(ids.begin(), ids.end(), [&](ValueId id) { return signal(id).kind == kind; });
}

/// A weight layer whose other operand holds no units, or a step of what makes a weight (power iteration): which of them
/// is known in the end.
void Interpreter::note_constant_layer(const Operation& operation) {
  const std::vector<ValueId> ids = operands(operation);
  const bool constant = std::any_of(ids.begin(), ids.end(), [this](ValueId id) {
    return signal(id).kind == Kind::kConstant || signal(id).of_constants;
  });
  for (const ValueId id : ids) {
    if (constant && is_placed_layer(operation.name) && signal(id).kind == Kind::kParameter) {
      constant_layers_.emplace_back(signal(id).parameter, operation.name);
    }
  }
}

bool Interpreter::uses_parameters(const Operation& operation) const {
  return has_kind(operation, Kind::kParameter) || has_kind(operation, Kind::kComputed);
}

/// Has only outputs that no gradient flows through: masks, indices.
bool Interpreter::decides(const Operation& operation) const {
  return std::none_of(operation.outputs.begin(), operation.outputs.end(),
                      [this](ValueId id) { return value(id).floating; });
}

void Interpreter::read_without_activations(const Operation& operation) {
  Signal result;
  for (const ValueId id : operands(operation)) {
    const Signal& operand = signal(id);
    result.of_constants = result.of_constants || operand.kind == Kind::kConstant || operand.of_constants;
    if (operand.kind == Kind::kPredicate) {
      result.kind = Kind::kPredicate;
      result.decided_by.insert(result.decided_by.end(), operand.decided_by.begin(), operand.decided_by.end());
    } else if (operand.kind == Kind::kParameter || operand.kind == Kind::kComputed) {
      result.kind = Kind::kComputed;
      result.parameter = operand.parameter;
      result.view = operand.view;
      result.made_of.insert(operand.made_of.begin(), operand.made_of.end());
      if (operand.kind == Kind::kParameter) {
        result.made_of.insert(operand.parameter);
      }
    }
  }
  const std::vector<ValueId> ids = operands(operation);
  const bool plain = result.kind == Kind::kComputed && !ids.empty() && signal(ids[0]).kind == Kind::kParameter;
  if (plain && is_copy(operation.name)) {
    result.kind = Kind::kParameter;
  } else if (plain && result.view.dim() == 2 && transposes(operation)) {
    result.kind = Kind::kParameter;
    result.view = result.view.t();
  }
  finish(operation, result);
  const bool views = std::all_of(operation.outputs.begin(), operation.outputs.end(),
                                 [this](ValueId id) { return signal(id).kind == Kind::kParameter; });
  for (const ValueId id : ids) {
    if (!views && signal(id).kind == Kind::kParameter) {
      note_use(signal(id).parameter, operation.name + ", to compute another tensor");
    }
  }
}

/// Hands the result on to what the operator returned and wrote; `more` to its further outputs.
void Interpreter::finish(const Operation& operation, const Signal& result, const std::vector<Activation>& more) {
  const Signal before = operation.written.empty() ? Signal() : signal(operation.written[0]);
  bool first = true;
  for (size_t i = 0; i < operation.outputs.size(); ++i) {
    const ValueId id = operation.outputs[i];
    if (is_known(id)) {
      first = false;  // an operand, returned as it is
    } else if (value(id).kind == Value::Kind::kParameter) {
      set(id, parameter_signal(value(id)));
    } else if (result.kind == Kind::kActivation && i > 0 && i <= more.size()) {
      set(id, activation_signal(more[i - 1]));
    } else if (result.kind == Kind::kActivation && (!value(id).floating || !first)) {
      Signal side;
      side.kind = Kind::kPredicate;
      side.decided_by = {result.activation};
      set(id, side);
    } else {
      set(id, result);
      first = false;
    }
  }
  const bool kept = before.kind == Kind::kActivation && result.kind == Kind::kActivation &&
                    builder_.same_units(before.activation, result.activation);
  for (const auto& [old, renewed] : operation.aliases) {
    learn(old);
    renew(operation, result, old, renewed, kept);
  }
}

/// Memory that was written through another tensor: the same units if the operator is transparent to them.
void Interpreter::renew(const Operation& operation, const Signal& result, ValueId old, ValueId renewed, bool kept) {
  const bool flows = signal(old).kind == Kind::kActivation || result.kind == Kind::kActivation;
  if (!flows || kept || value(renewed).kind == Value::Kind::kParameter) {
    const Signal same = signal(old);
    set(renewed, same);
    return;
  }
  std::vector<Activation> mixed;
  for (const Signal* part : {&std::as_const(signals_[static_cast<size_t>(old)]), &result}) {
    if (part->kind == Kind::kActivation) {
      mixed.push_back(part->activation);
    }
  }
  const std::string reason = "it writes to a part of a tensor";
  skip(operation.name, reason);
  set(renewed, unknown(operation.name, renewed, poison(mixed, operation.name, reason)));
}

Flow interpret(const Recording& recording, const ModuleTree& tree, bool inputs_given) {
  return Interpreter(recording, tree, inputs_given).run();
}

}  // namespace dynascope::network
