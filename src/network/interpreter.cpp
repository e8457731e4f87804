// SPDX-License-Identifier: BSD-3-Clause
#include "interpreter_class.hpp"
#include "made_inputs.hpp"

#include <dynascope/error.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <numeric>
#include <utility>

namespace dynascope::network {
namespace {

using Kind = Signal::Kind;

constexpr const char* kNotUnderstood = "mixes units in a way that is not understood";

/// Operators that make the same numbers of a parameter in another dtype or memory.
bool is_copy(const std::string& name) {
  static const std::set<std::string> kNames = {"aten::to",    "aten::_to_copy",  "aten::contiguous",
                                               "aten::clone", "aten::detach",    "aten::type_as",
                                               "aten::alias", "aten::lift_fresh"};
  return kNames.count(name) != 0;
}

bool is_softmax(const std::string& name) {
  const std::string key = plain_name(name);
  return key == "softmax" || key == "_softmax";
}

Signal activation_signal(const Activation& value) {
  Signal result;
  result.kind = Kind::kActivation;
  result.activation = value;
  return result;
}

Signal parameter_signal(const Value& value) {
  Signal result;
  result.kind = Kind::kParameter;
  result.parameter = value.parameter;
  result.view = value.tensor;
  return result;
}

/// Operands that a contraction multiplies; what it adds is none of them.
std::vector<const char*> factors_of(const std::string& name) {
  const std::string key = plain_name(name);
  if (key == "baddbmm") {
    return {"batch1", "batch2"};
  }
  if (key == "addmm") {
    return {"mat1", "mat2"};
  }
  return {"self", key == "matmul" ? "other" : key == "mv" ? "vec" : key == "dot" ? "tensor" : "mat2"};
}

}  // namespace

Interpreter::Interpreter(const Recording& recording, const ModuleTree& tree, bool inputs_given)
    : recording_(recording),
      tree_(tree),
      inputs_given_(inputs_given),
      made_inputs_(inputs_given ? std::set<ValueId>() : find_made_inputs(recording)),
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
                std::to_string(tree_.parameters.size()) + "; pass the module that forward runs");
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
  Call call{operation, recording_.values, signals_, tree_, builder_};
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
  } else if (activations.empty() && !looks_up && reads_constants(operation)) {
    stop(call, activations, "it reads no activation");
  } else if (activations.empty() && !looks_up) {
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

/// What becomes of the units, or a barrier.
void Interpreter::follow(Call& call, const std::vector<Activation>& activations) {
  const Operation& operation = call.operation;
  try {
    Signal result = activation_signal(flow_of(call, activations));
    result.soft = is_softmax(operation.name);
    const std::vector<ValueId> ids = operands(operation);
    result.soft = result.soft || (!is_placed_layer(operation.name) &&
                                  std::any_of(ids.begin(), ids.end(), [&](ValueId id) { return signal(id).soft; }));
    place_parameters(operation);
    finish(operation, result, call.more);
    if (is_product(operation)) {
      products_.insert(operation.outputs.begin(), operation.outputs.end());
    }
  } catch (const NotFollowed& problem) {
    stop(call, activations, problem.what());
  } catch (const std::exception&) {
    stop(call, activations, "its arguments are not understood");
  }
}

/// A contraction of activations makes scores of them, or applies one that a softmax made to the other.
bool Interpreter::contracts(Call& call, const std::vector<Activation>& activations) {
  if (!is_contraction(call.operation.name) || activations.size() < 2) {
    return false;
  }
  const std::vector<const char*> names = factors_of(call.operation.name);
  const Signal& left = call.signal(names[0]);
  const Signal& right = call.signal(names[1]);
  if (left.kind != Kind::kActivation || right.kind != Kind::kActivation) {
    return false;
  }
  if (left.soft == right.soft) {
    for (const Activation& activation : activations) {
      builder_.read_by_scores(activation);
    }
    Signal scores;
    scores.kind = Kind::kScores;
    finish(call.operation, scores);
    return true;
  }
  builder_.read_by_scores((left.soft ? left : right).activation);
  try {
    finish(call.operation, activation_signal(apply_scores(call, names[left.soft ? 1 : 0])));
  } catch (const NotFollowed& problem) {
    stop(call, activations, problem.what());
  }
  return true;
}

/// What scores are applied to is transparent; everything else that meets scores ends in them.
void Interpreter::read_scores(Call& call, const std::vector<Activation>& activations) {
  const Operation& operation = call.operation;
  if (is_placed_layer(operation.name) && uses_parameters(operation)) {
    stop(call, activations, "it reads scores");
    return;
  }
  try {
    if (is_contraction(operation.name)) {
      const std::vector<const char*> names = factors_of(operation.name);
      for (const size_t value : {size_t{0}, size_t{1}}) {
        if (call.signal(names[value]).kind == Kind::kActivation &&
            call.signal(names[1 - value]).kind == Kind::kScores) {
          finish(operation, activation_signal(apply_scores(call, names[value])));
          return;
        }
      }
    }
    if (combination_of(operation.name) == Combination::kProduct && activations.size() == 1 &&
        builder_.sizes(activations[0]) == call.output_sizes()) {
      finish(operation, activation_signal(activations[0]));
      return;
    }
  } catch (const NotFollowed& problem) {
    stop(call, activations, problem.what());
    return;
  }
  for (const Activation& activation : activations) {
    builder_.read_by_scores(activation);
  }
  Signal scores;
  scores.kind = Kind::kScores;
  finish(operation, scores);
}

bool Interpreter::has_kind(const Operation& operation, Signal::Kind kind) const {
  const std::vector<ValueId> ids = operands(operation);
  return std::any_of(ids.begin(), ids.end(), [&](ValueId id) { return signal(id).kind == kind; });
}

/// A weight layer whose other operand holds no units (constants, decisions); not a product of parameters alone.
bool Interpreter::reads_constants(const Operation& operation) const {
  return is_placed_layer(operation.name) && uses_parameters(operation) &&
         (has_kind(operation, Kind::kConstant) || has_kind(operation, Kind::kPredicate));
}

bool Interpreter::uses_parameters(const Operation& operation) const {
  return has_kind(operation, Kind::kParameter) || has_kind(operation, Kind::kComputed);
}

/// Has only outputs that no gradient flows through: masks, indices.
bool Interpreter::decides(const Operation& operation) const {
  return std::none_of(operation.outputs.begin(), operation.outputs.end(),
                      [this](ValueId id) { return value(id).floating; });
}

Activation Interpreter::flow_of(Call& call, const std::vector<Activation>& activations) {
  if (call.operation.name == "aten::copy_") {
    if (call.signal("src").kind != Kind::kActivation || builder_.sizes(call.activation("src")) != call.output_sizes()) {
      throw NotFollowed("it writes over units");
    }
    return call.activation("src");
  }
  if (combination_of(call.operation.name) != Combination::kNone && activations.size() > 1) {
    return combine(call, activations);
  }
  if (is_transparent(call.operation.name)) {
    for (const Activation& other : activations) {
      if (!builder_.same_units(activations[0], other)) {
        throw NotFollowed("it combines two activations");
      }
    }
    fold_bias(call, activations[0]);
    return builder_.expand(activations[0], call.output_sizes());
  }
  const Reader reader = find_reader(call.operation.name);
  if (reader == nullptr) {
    throw NotFollowed(kNotUnderstood);
  }
  return reader(call);
}

/// Of one node layer it stays that, whatever is done to its units; of several it is a node layer of its own.
Activation Interpreter::combine(Call& call, const std::vector<Activation>& activations) {
  const std::vector<int64_t>& sizes = call.output_sizes();
  const bool one = std::all_of(activations.begin(), activations.end(), [&](const Activation& other) {
    return builder_.same_node_layer(activations[0], other);
  });
  if (!one) {
    return builder_.sum(activations, sizes, combination_of(call.operation.name) == Combination::kProduct);
  }
  const auto cells = [&](const Activation& value) {
    const std::vector<int64_t> own = builder_.sizes(value);
    return std::accumulate(own.begin(), own.end(), int64_t{1}, [](int64_t a, int64_t b) { return a * b; });
  };
  return builder_.expand(
      *std::max_element(activations.begin(), activations.end(),
                        [&](const Activation& a, const Activation& b) { return cells(a) < cells(b); }),
      sizes);
}

/// What a weight layer writes, before anything else is done to it.
bool Interpreter::is_product(const Operation& operation) const {
  const std::vector<ValueId> ids = operands(operation);
  return is_placed_layer(operation.name) || (is_copy(operation.name) && !ids.empty() && products_.count(ids[0]) != 0);
}

/// x.matmul(w) + b is how a bias is spelled by hand, and by torch itself for inputs of more than two dimensions.
void Interpreter::fold_bias(Call& call, const Activation& activation) {
  const std::string& name = call.operation.name;
  const Origin& origin = builder_.origin_of(activation);
  if ((name != "aten::add" && name != "aten::add_") || origin.writers.size() != 1 || origin.dims != activation.dims ||
      origin.dims.back() != origin.features || !activation.gone.empty()) {
    return;
  }
  Use& use = builder_.flow.uses[static_cast<size_t>(origin.writers[0].use)];
  const bool read = std::any_of(builder_.flow.reads.begin(), builder_.flow.reads.end(),
                                [&](const Read& other) { return other.value.origin == activation.origin; });
  const int64_t outputs = builder_.size(origin.features);
  const Argument* alpha = call.find("alpha");
  if (!use.open_bias || read ||
      (alpha != nullptr && alpha->other.isScalar() && alpha->other.toScalar().toDouble() != 1.0)) {
    return;
  }
  for (const ValueId id : operands(call.operation)) {
    const Signal& operand = signal(id);
    if (operand.kind == Kind::kActivation && (readers_[static_cast<size_t>(id)] != 1 || products_.count(id) == 0)) {
      return;
    }
    if (operand.kind == Kind::kParameter && operand.view.numel() == outputs && operand.view.dim() >= 1 &&
        operand.view.size(-1) == outputs) {
      use.layer.bias = bias_of(operand, outputs);
      use.open_bias = false;
    }
  }
}

void Interpreter::place_parameters(const Operation& operation) {
  for (const ValueId id : operands(operation)) {
    if (signal(id).kind == Kind::kParameter) {
      const auto position = static_cast<size_t>(signal(id).parameter);
      placed_[position] = true;
      used_by_[position] = operation.name;
    }
  }
}

void Interpreter::read_without_activations(const Operation& operation) {
  Signal result;
  for (const ValueId id : operands(operation)) {
    const Signal& operand = signal(id);
    if (operand.kind == Kind::kPredicate) {
      result.kind = Kind::kPredicate;
      result.decided_by.insert(result.decided_by.end(), operand.decided_by.begin(), operand.decided_by.end());
    } else if (operand.kind == Kind::kParameter || operand.kind == Kind::kComputed) {
      result.kind = Kind::kComputed;
      result.parameter = operand.parameter;
      result.view = operand.view;
    }
  }
  const std::vector<ValueId> ids = operands(operation);
  const bool plain = result.kind == Kind::kComputed && !ids.empty() && signal(ids[0]).kind == Kind::kParameter;
  if (plain && is_copy(operation.name)) {
    result.kind = Kind::kParameter;
  } else if (plain && (operation.name == "aten::t" || operation.name == "aten::transpose") && result.view.dim() == 2) {
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
