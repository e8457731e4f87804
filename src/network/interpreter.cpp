// SPDX-License-Identifier: BSD-3-Clause
#include "interpreter.hpp"

#include "made_inputs.hpp"
#include "operators.hpp"

#include <dynascope/error.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <set>
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

class Interpreter {
 public:
  Interpreter(const Recording& recording, const ModuleTree& tree, bool inputs_given)
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

  Flow run() {
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

 private:
  static std::vector<ValueId> operands(const Operation& operation) {
    std::vector<ValueId> ids;
    for (const Argument& argument : operation.arguments) {
      std::copy_if(argument.values.begin(), argument.values.end(), std::back_inserter(ids),
                   [](ValueId id) { return id >= 0; });
    }
    return ids;
  }

  Signal& signal(ValueId id) { return signals_[static_cast<size_t>(id)]; }
  const Value& value(ValueId id) const { return recording_.values[static_cast<size_t>(id)]; }

  void set(ValueId id, Signal signal) {
    signals_[static_cast<size_t>(id)] = std::move(signal);
    known_[static_cast<size_t>(id)] = true;
  }

  Signal unknown(const std::string& operation, ValueId id, std::vector<int32_t> sources) {
    Signal result;
    result.kind = Kind::kActivation;
    result.activation = builder_.unknown(operation, value(id).sizes, std::move(sources));
    return result;
  }

  static Signal parameter(const Value& value) {
    Signal result;
    result.kind = Kind::kParameter;
    result.parameter = value.parameter;
    result.view = value.tensor;
    return result;
  }

  /// A value that no recorded operator made.
  void learn(ValueId id) {
    if (known_[static_cast<size_t>(id)]) {
      return;
    }
    const Value& seen = value(id);
    Signal result;
    if (seen.kind == Value::Kind::kParameter) {
      result = parameter(seen);
    } else if (seen.kind == Value::Kind::kOutside) {
      const bool constant = inputs_given_ ? !seen.given : !seen.floating || seen.tensor.numel() == 1;
      if (!constant || made_inputs_.count(id) != 0) {
        result = input(id);
      }
    } else if (seen.kind == Value::Kind::kUnseenView) {
      result = learn_view(id);
    }
    set(id, std::move(result));
  }

  Signal input(ValueId id) {
    Signal result;
    result.kind = Kind::kActivation;
    result.activation = builder_.input("", value(id).sizes, value(id).given, false);
    return result;
  }

  Signal learn_view(ValueId id) {
    std::vector<Activation> shared;
    for (ValueId other = 0; other < id; ++other) {
      if (known_[static_cast<size_t>(other)] && value(other).storage == value(id).storage &&
          signal(other).kind == Kind::kActivation) {
        shared.push_back(signal(other).activation);
      }
    }
    if (shared.empty()) {
      return {};
    }
    const std::string name = "a view made outside of any operator";
    return unknown(name, id, poison(shared, name, "which of its units it holds is not known"));
  }

  /// Marks activations as read by someone who is not understood; returns their origins.
  std::vector<int32_t> poison(const std::vector<Activation>& activations, const std::string& operation,
                              const std::string& reason) {
    std::vector<int32_t> sources;
    std::vector<Activation> done;
    for (const Activation& activation : activations) {
      const auto same = [&](const Activation& other) { return builder_.same_units(activation, other); };
      if (std::none_of(done.begin(), done.end(), same)) {
        builder_.read_by_unknown(activation, operation, reason);
        sources.push_back(activation.origin);
        done.push_back(activation);
      }
    }
    return sources;
  }

  void read(const Operation& operation) {
    Call call{operation, recording_.values, signals_, tree_, builder_};
    const std::vector<Activation> activations = call.activations();
    const std::string unplaced = unplaced_layer(operation.name);
    Signal result;
    if (is_factory(operation.name)) {
      finish(operation, result);
    } else if (!operation.outputs.empty() && made_inputs_.count(operation.outputs[0]) != 0) {
      finish(operation, input(operation.outputs[0]));
    } else if (!unplaced.empty() && (!activations.empty() || uses_parameters(operation))) {
      stop(call, activations, unplaced + ", which is not placed");
    } else if (activations.empty() && reads_constants(operation)) {
      stop(call, activations, "it reads no activation");
    } else if (activations.empty()) {
      read_without_activations(operation);
    } else if (operation.written.empty() && decides(operation)) {
      result.kind = Kind::kPredicate;
      result.decided_by = activations;
      finish(operation, result);
    } else {
      try {
        result.kind = Kind::kActivation;
        result.activation = flow_of(call, activations);
        place_parameters(operation);
        finish(operation, result);
        if (is_product(operation)) {
          products_.insert(operation.outputs.begin(), operation.outputs.end());
        }
      } catch (const NotFollowed& problem) {
        stop(call, activations, problem.what());
      } catch (const std::exception&) {
        stop(call, activations, "its arguments are not understood");
      }
    }
  }

  /// A weight layer whose other operand holds no units (constants, decisions); not a product of parameters alone.
  bool reads_constants(const Operation& operation) {
    const std::vector<ValueId> ids = operands(operation);
    return is_placed_layer(operation.name) && uses_parameters(operation) &&
           std::any_of(ids.begin(), ids.end(), [this](ValueId id) {
             return signal(id).kind == Kind::kConstant || signal(id).kind == Kind::kPredicate;
           });
  }

  bool uses_parameters(const Operation& operation) {
    const std::vector<ValueId> ids = operands(operation);
    return std::any_of(ids.begin(), ids.end(), [this](ValueId id) {
      return signal(id).kind == Kind::kParameter || signal(id).kind == Kind::kComputed;
    });
  }

  /// Has only outputs that no gradient flows through: masks, indices.
  bool decides(const Operation& operation) const {
    return std::none_of(operation.outputs.begin(), operation.outputs.end(),
                        [this](ValueId id) { return value(id).floating; });
  }

  Activation flow_of(Call& call, const std::vector<Activation>& activations) {
    if (call.operation.name == "aten::copy_") {
      if (call.signal("src").kind != Kind::kActivation ||
          builder_.sizes(call.activation("src")) != call.output_sizes()) {
        throw NotFollowed("it writes over units");
      }
      return call.activation("src");
    }
    if (is_transparent(call.operation.name)) {
      for (const Activation& other : activations) {
        if (!builder_.same_units(activations[0], other)) {
          throw NotFollowed("it combines two activations");
        }
      }
      if (call.output_sizes() != builder_.sizes(activations[0])) {
        throw NotFollowed("it copies units, to broadcast them");
      }
      fold_bias(call, activations[0]);
      return activations[0];
    }
    const Reader reader = find_reader(call.operation.name);
    if (reader == nullptr) {
      throw NotFollowed(kNotUnderstood);
    }
    return reader(call);
  }

  /// What a weight layer writes, before anything else is done to it.
  bool is_product(const Operation& operation) const {
    const std::vector<ValueId> ids = operands(operation);
    return is_placed_layer(operation.name) || (is_copy(operation.name) && !ids.empty() && products_.count(ids[0]) != 0);
  }

  /// x.matmul(w) + b is how a bias is spelled by hand, and by torch itself for inputs of more than two dimensions.
  void fold_bias(Call& call, const Activation& activation) {
    const std::string& name = call.operation.name;
    const Origin& origin = builder_.flow.origins[static_cast<size_t>(activation.origin)];
    if ((name != "aten::add" && name != "aten::add_") || origin.use < 0 || origin.dims != activation.dims ||
        origin.dims.back() != origin.features || !activation.gone.empty()) {
      return;
    }
    Use& use = builder_.flow.uses[static_cast<size_t>(origin.use)];
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

  void place_parameters(const Operation& operation) {
    for (const ValueId id : operands(operation)) {
      if (signal(id).kind == Kind::kParameter) {
        const auto position = static_cast<size_t>(signal(id).parameter);
        placed_[position] = true;
        used_by_[position] = operation.name;
      }
    }
  }

  void read_without_activations(const Operation& operation) {
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
    } else if (plain && (operation.name == "aten::t" || operation.name == "aten::transpose") &&
               result.view.dim() == 2) {
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

  void note_use(int32_t parameter, const std::string& by) {
    std::string& noted = used_by_[static_cast<size_t>(parameter)];
    noted = noted.empty() ? by : noted;
  }

  /// Hands the result on to what the operator returned and wrote.
  void finish(const Operation& operation, const Signal& result) {
    const Signal before = operation.written.empty() ? Signal() : signal(operation.written[0]);
    bool first = true;
    for (const ValueId id : operation.outputs) {
      if (known_[static_cast<size_t>(id)]) {
        first = false;  // an operand, returned as it is
      } else if (value(id).kind == Value::Kind::kParameter) {
        set(id, parameter(value(id)));
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
  void renew(const Operation& operation, const Signal& result, ValueId old, ValueId renewed, bool kept) {
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

  /// Makes a tensor of other sizes. A loss or a decision is the end of units, it makes no new ones.
  bool may_resample(Call& call, const Activation& activation) const {
    const auto& outputs = call.operation.outputs;
    const bool makes = std::any_of(outputs.begin(), outputs.end(),
                                   [this](ValueId id) { return value(id).floating && !value(id).sizes.empty(); });
    return makes && call.output_sizes() != builder_.sizes(activation);
  }

  /// A barrier: what it reads is not written, what it makes comes from nowhere.
  void stop(Call& call, const std::vector<Activation>& activations, const std::string& reason) {
    const Operation& operation = call.operation;
    skip(operation.name, reason);
    const size_t first = builder_.flow.reads.size();
    const std::vector<int32_t> sources = poison(activations, operation.name, reason);
    for (size_t i = first; i < builder_.flow.reads.size(); ++i) {
      builder_.flow.reads[i].may_resample = may_resample(call, builder_.flow.reads[i].value);
    }
    add_loose_weights(call, reason);
    const Signal before = operation.written.empty() ? Signal() : signal(operation.written[0]);
    for (const ValueId id : operation.outputs) {
      if (known_[static_cast<size_t>(id)]) {
        continue;
      }
      if (value(id).floating) {
        set(id, unknown(operation.name, id, sources));
      } else {
        Signal side;
        side.kind = Kind::kPredicate;
        side.decided_by = activations;
        set(id, side);
      }
    }
    for (const auto& [old, renewed] : operation.aliases) {
      learn(old);
      if (signal(old).kind == Kind::kActivation) {
        poison({signal(old).activation}, operation.name, reason);
      }
      set(renewed, unknown(operation.name, renewed, sources));
    }
  }

  void skip(const std::string& name, const std::string& reason) {
    auto& skipped = builder_.flow.skipped;
    const bool told = std::any_of(skipped.begin(), skipped.end(), [&](const SkippedInfo& other) {
      return other.name == name && other.reason == reason;
    });
    if (!told) {
      skipped.push_back({name, reason});
    }
  }

  /// The weights of a layer that is not placed still have link statistics.
  void add_loose_weights(Call& call, const std::string& reason) {
    const Operation& operation = call.operation;
    const bool layer = is_layer(operation.name);
    for (const ValueId id : operands(operation)) {
      const Signal& operand = signal(id);
      if (operand.kind != Kind::kParameter) {
        continue;
      }
      note_use(operand.parameter, operation.name + ": " + reason);
      const NamedParameter& parameter = tree_.parameters[static_cast<size_t>(operand.parameter)];
      const bool known = std::any_of(builder_.flow.uses.begin(), builder_.flow.uses.end(),
                                     [&](const Use& use) { return use.layer.weight.is_same(parameter.value); });
      if (layer && !known && parameter.value.dim() >= 2 && unmeasurable(parameter.value).empty()) {
        builder_.flow.uses.push_back(loose_use(parameter, operation.name));
      }
    }
  }

  Use loose_use(const NamedParameter& parameter, const std::string& operation) const {
    Use use;
    use.owner = parameter.name;
    use.layer.name = parameter.name;
    use.layer.operator_name = operation.substr(operation.rfind(':') + 1);
    use.layer.weight = parameter.value;
    use.layer.bias = sibling_bias(tree_, parameter);
    return use;
  }

  void read_outputs() {
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
  std::vector<ValueId> unread() {
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

  void explain_parameters() {
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

  const Recording& recording_;
  const ModuleTree& tree_;
  const bool inputs_given_;
  const std::set<ValueId> made_inputs_;
  FlowBuilder builder_;
  std::vector<Signal> signals_;
  std::vector<bool> known_;
  std::vector<std::string> used_by_;
  std::vector<bool> placed_;
  std::vector<int> readers_;
  std::set<ValueId> products_;  ///< values that is_product() made
};

}  // namespace

Flow interpret(const Recording& recording, const ModuleTree& tree, bool inputs_given) {
  return Interpreter(recording, tree, inputs_given).run();
}

}  // namespace dynascope::network
