// SPDX-License-Identifier: BSD-3-Clause
#include "derivations.hpp"

#include "operators.hpp"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/enum_tag.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <utility>

namespace dynascope::network {
namespace {

using Tensors = std::map<ValueId, at::Tensor>;

constexpr size_t kMostSteps = 32;  // a snapshot should stay cheaper than a training step

/// A parameter, or a view of one.
struct Leaf {
  size_t argument = 0;  ///< position among the parameters that compute() gets
  bool whole = true;
  std::vector<int64_t> sizes, strides;
  int64_t offset = 0;

  at::Tensor of(const at::Tensor& parameter) const {
    return whole ? parameter.detach()
                 : parameter.detach().as_strided(sizes, strides, parameter.storage_offset() + offset);
  }
};

struct Step {
  c10::OperatorHandle handle;
  std::vector<Argument> arguments;
  std::vector<ValueId> outputs;

  void run(Tensors& values) const {
    std::vector<c10::IValue> stack;
    for (const Argument& argument : arguments) {
      std::vector<at::Tensor> tensors;
      for (const ValueId id : argument.values) {
        tensors.push_back(id < 0 ? at::Tensor() : values.at(id));
      }
      if (!argument.tensors) {
        stack.push_back(argument.other);
      } else if (argument.list) {
        stack.emplace_back(std::move(tensors));
      } else {
        stack.push_back(tensors.empty() || !tensors[0].defined() ? c10::IValue() : c10::IValue(tensors[0]));
      }
    }
    handle.callBoxed(stack);
    size_t next = 0;
    for (const c10::IValue& result : stack) {
      const std::vector<at::Tensor> tensors = result.isTensorList() ? result.toTensorVector()
                                              : result.isTensor()   ? std::vector<at::Tensor>{result.toTensor()}
                                                                    : std::vector<at::Tensor>();
      for (const at::Tensor& tensor : tensors) {
        if (next < outputs.size()) {
          values[outputs[next++]] = tensor;
        }
      }
    }
  }
};

/// What computes a weight, as plain data.
struct Program {
  std::map<ValueId, Leaf> leaves;
  Tensors constants;
  std::vector<Step> steps;  ///< first to last
  ValueId result = -1;

  at::Tensor run(const std::vector<at::Tensor>& parameters) const {
    const at::NoGradGuard no_grad;
    Tensors values = constants;
    for (const auto& [id, leaf] : leaves) {
      values[id] = leaf.of(parameters.at(leaf.argument));
    }
    for (const Step& step : steps) {
      step.run(values);
    }
    return values.at(result);
  }
};

Step step_of(const Operation& operation) {
  const auto handle = c10::Dispatcher::singleton().findSchema({operation.name, operation.overload});
  if (!handle.has_value()) {
    throw NotFollowed("its weight is computed by " + operation.name + ", which is not known any more");
  }
  if (handle->hasTag(at::Tag::nondeterministic_seeded)) {
    throw NotFollowed("its weight is computed from parameters by " + operation.name + ", which is random");
  }
  const auto& schema = handle->schema().arguments();
  for (size_t i = 0; i < operation.arguments.size(); ++i) {
    if (operation.arguments[i].list && operation.arguments[i].tensors && schema[i].type()->str() != "Tensor[]") {
      throw NotFollowed("its weight is computed by " + operation.name + ", which is not computed again");
    }
  }
  return {*handle, operation.arguments, operation.outputs};
}

}  // namespace

Derivations::Derivations(const Recording& recording, const ModuleTree& tree) : recording_(recording), tree_(tree) {
  for (size_t i = 0; i < recording.operations.size(); ++i) {
    for (const ValueId id : recording.operations[i].outputs) {
      maker_.emplace(id, i);
    }
  }
}

ComputedWeight Derivations::derive(const Call& call, ValueId id) const {
  auto program = std::make_shared<Program>();
  program->result = id;
  ComputedWeight result;
  std::set<size_t> makers;
  std::vector<ValueId> open = {id};
  std::set<ValueId> done;
  while (!open.empty()) {
    const ValueId value = open.back();
    open.pop_back();
    if (!done.insert(value).second) {
      continue;
    }
    const Value& seen = recording_.values[static_cast<size_t>(value)];
    const Signal::Kind kind = call.signals[static_cast<size_t>(value)].kind;
    if (kind == Signal::Kind::kActivation || kind == Signal::Kind::kPredicate || kind == Signal::Kind::kScores) {
      throw NotFollowed("its weight is computed from parameters and from activations");
    }
    const auto maker = maker_.find(value);
    if (seen.kind == Value::Kind::kParameter) {
      const auto position = static_cast<size_t>(seen.parameter);
      const at::Tensor& parameter = tree_.parameters[position].value;
      auto known = std::find(result.parameters.begin(), result.parameters.end(), position);
      const auto argument = static_cast<size_t>(known - result.parameters.begin());
      if (known == result.parameters.end()) {
        result.parameters.push_back(position);
      }
      const bool whole = seen.tensor.sizes() == parameter.sizes() && seen.tensor.strides() == parameter.strides();
      program->leaves[value] = {argument, whole, seen.tensor.sizes().vec(), seen.tensor.strides().vec(),
                                seen.tensor.storage_offset() - parameter.storage_offset()};
    } else if (maker == maker_.end()) {
      program->constants[value] = seen.tensor;
    } else if (makers.insert(maker->second).second) {
      const Operation& operation = recording_.operations[maker->second];
      if (!operation.written.empty()) {
        throw NotFollowed("its weight is computed in place by " + operation.name);
      }
      for (const Argument& argument : operation.arguments) {
        std::copy_if(argument.values.begin(), argument.values.end(), std::back_inserter(open),
                     [](ValueId operand) { return operand >= 0; });
      }
    }
  }
  if (makers.size() > kMostSteps) {
    throw NotFollowed("its weight is computed from parameters by " + std::to_string(makers.size()) +
                      " operators, more than " + std::to_string(kMostSteps));
  }
  for (const size_t maker : makers) {
    program->steps.push_back(step_of(recording_.operations[maker]));
  }
  result.compute = [program](const std::vector<at::Tensor>& parameters) { return program->run(parameters); };
  return result;
}

Derivations::Weight Derivations::find(const Call& call, ValueId id) {
  bool turned = false;
  for (auto maker = maker_.find(id); maker != maker_.end(); maker = maker_.find(id)) {
    const Operation& operation = recording_.operations[maker->second];
    const bool flat = recording_.values[static_cast<size_t>(id)].sizes.size() == 2;
    if (!flat || !transposes(operation)) {
      break;
    }
    id = operation.arguments[0].values.at(0);
    turned = !turned;
  }
  if (const auto known = known_.find(id); known != known_.end()) {
    Weight again = known->second;
    again.turned = turned;
    return again;
  }
  ComputedWeight computed = derive(call, id);
  std::vector<at::Tensor> parameters;
  Weight weight;
  weight.turned = turned;
  for (const size_t position : computed.parameters) {
    parameters.push_back(tree_.parameters[position].value);
  }
  const auto elements = [&](size_t position) { return tree_.parameters[position].value.numel(); };
  weight.largest = *std::max_element(computed.parameters.begin(), computed.parameters.end(),
                                     [&](size_t a, size_t b) { return elements(a) < elements(b); });
  const at::Tensor& seen = recording_.values[static_cast<size_t>(id)].tensor;
  try {
    weight.value = computed.compute(parameters).clone(at::MemoryFormat::Contiguous);
  } catch (const std::exception&) {
    throw NotFollowed("its weight is computed from parameters in a way that cannot be run again");
  }
  if (weight.value.sizes() != seen.sizes() || !weight.value.allclose(seen, 1e-4, 1e-6, true)) {
    throw NotFollowed("its weight is computed from parameters and comes out differently each time");
  }
  computed.value = weight.value;
  call.builder.flow.computed.push_back(std::move(computed));
  known_.emplace(id, weight);
  return weight;
}

}  // namespace dynascope::network
