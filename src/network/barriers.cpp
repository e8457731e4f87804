// SPDX-License-Identifier: BSD-3-Clause
// Operators that are not understood: what they read is not written, what they make comes from nowhere, and both are
// said.
#include "interpreter_class.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {

using Kind = Signal::Kind;

Signal Interpreter::unknown(const std::string& operation, ValueId id, std::vector<int32_t> sources) {
  Signal result;
  result.kind = Kind::kActivation;
  result.activation = builder_.unknown(operation, value(id).sizes, std::move(sources));
  return result;
}

/// Marks activations as read by someone who is not understood; returns their origins.
std::vector<int32_t> Interpreter::poison(const std::vector<Activation>& activations, const std::string& operation,
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

/// Makes a tensor of other sizes. A loss or a decision is the end of units, it makes no new ones.
bool Interpreter::may_resample(Call& call, const Activation& activation) const {
  const auto& outputs = call.operation.outputs;
  const bool makes = std::any_of(outputs.begin(), outputs.end(),
                                 [this](ValueId id) { return value(id).floating && !value(id).sizes.empty(); });
  return makes && call.output_sizes() != builder_.sizes(activation);
}

void Interpreter::stop(Call& call, const std::vector<Activation>& activations, const std::string& reason) {
  const Operation& operation = call.operation;
  skip(operation.name, reason);
  const size_t first = builder_.flow.reads.size();
  const std::vector<int32_t> sources = poison(activations, operation.name, reason);
  for (size_t i = first; i < builder_.flow.reads.size(); ++i) {
    builder_.flow.reads[i].may_resample = may_resample(call, builder_.flow.reads[i].value);
  }
  add_loose_weights(call, reason);
  for (const ValueId id : operation.outputs) {
    if (is_known(id)) {
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

void Interpreter::skip(const std::string& name, const std::string& reason) {
  auto& skipped = builder_.flow.skipped;
  const bool told = std::any_of(skipped.begin(), skipped.end(),
                                [&](const SkippedInfo& other) { return other.name == name && other.reason == reason; });
  if (!told) {
    skipped.push_back({name, reason});
  }
}

/// The weights of a layer that is not placed still have link statistics.
void Interpreter::add_loose_weights(Call& call, const std::string& reason) {
  const Operation& operation = call.operation;
  for (const ValueId id : operands(operation)) {
    const Signal& operand = signal(id);
    if (operand.kind != Kind::kParameter) {
      continue;
    }
    note_use(operand.parameter, operation.name + ": " + reason);
    add_loose_weight(operand.parameter, operation.name);
  }
}

void Interpreter::add_loose_weight(int32_t position, const std::string& operation) {
  const NamedParameter& parameter = tree_.parameters[static_cast<size_t>(position)];
  const bool known = std::any_of(builder_.flow.uses.begin(), builder_.flow.uses.end(),
                                 [&](const Use& use) { return use.layer.weight.is_same(parameter.value); });
  if (is_layer(operation) && !known && parameter.value.dim() >= 2 && unmeasurable(parameter.value).empty()) {
    Use use;
    use.owner = parameter.name;
    use.layer.name = parameter.name;
    use.layer.operator_name = operation.substr(operation.rfind(':') + 1);
    use.layer.weight = parameter.value;
    use.layer.bias = sibling_bias(tree_, parameter);
    builder_.flow.uses.push_back(std::move(use));
  }
}

}  // namespace dynascope::network
