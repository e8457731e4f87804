// SPDX-License-Identifier: BSD-3-Clause
// Operators that units go through: transparent ones, those that have a reader, sums and products.
#include "interpreter_class.hpp"

#include <c10/util/accumulate.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

namespace dynascope::network {
namespace {

using Kind = Signal::Kind;

constexpr const char* kNotUnderstood = "mixes units in a way that is not understood";

bool is_softmax(const std::string& name) {
  const std::string key = plain_name(name);
  return key == "softmax" || key == "_softmax";
}

/// The same elements in another shape.
bool is_view(const std::string& name) {
  static const std::set<std::string> kNames = {"view",    "reshape",   "_unsafe_view", "_reshape_alias", "flatten",
                                               "permute", "transpose", "squeeze",      "unsqueeze"};
  return kNames.count(plain_name(name)) != 0;
}

}  // namespace

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

/// What a weight layer writes, before anything else is done to it: the view that einsum makes of it is nothing else.
bool Interpreter::is_product(const Operation& operation) const {
  const std::vector<ValueId> ids = operands(operation);
  return is_placed_layer(operation.name) ||
         ((is_copy(operation.name) || is_view(operation.name)) && !ids.empty() && products_.count(ids[0]) != 0 &&
          readers_[static_cast<size_t>(ids[0])] == 1);
}

/// x.matmul(w) + b is how a bias is spelled by hand, and by torch itself for inputs of more than two dimensions.
void Interpreter::fold_bias(Call& call, const Activation& activation) {
  const std::string& name = call.operation.name;
  const Origin& origin = builder_.origin_of(activation);
  const Flow& flow = builder_.flow;
  const bool whole = !activation.dims.empty() &&
                     leaves_of(flow, activation.dims.back()) == leaves_of(flow, origin.features) &&
                     std::all_of(activation.gone.begin(), activation.gone.end(),
                                 [&](AtomId id) { return atom_of(flow, id).size == 1; });
  if ((name != "aten::add" && name != "aten::add_") || origin.writers.size() != 1 || !whole) {
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
    const std::vector<int64_t>& sizes = value(id).sizes;
    const bool one_each = !sizes.empty() && sizes.back() == outputs && c10::multiply_integers(sizes) == outputs;
    if (!one_each || (operand.kind != Kind::kParameter && operand.kind != Kind::kComputed)) {
      continue;
    }
    try {
      use.layer.bias = bias_of(call, operand, outputs);
      use.open_bias = false;
    } catch (const NotFollowed&) {
      if (operand.kind == Kind::kParameter) {
        throw;
      }  // noise that a parameter scales, say: added, and no bias
    }
  }
}

void Interpreter::place_parameters(const Operation& operation) {
  for (const ValueId id : operands(operation)) {
    const Signal& operand = signal(id);
    const std::set<int32_t> whole = {operand.parameter};
    for (const int32_t parameter : operand.kind == Kind::kParameter ? whole : operand.made_of) {
      placed_[static_cast<size_t>(parameter)] = true;
      used_by_[static_cast<size_t>(parameter)] = operation.name;
    }
  }
}

}  // namespace dynascope::network
