// SPDX-License-Identifier: BSD-3-Clause
// Recurrent layers and cells (docs/metrics.md, section 4): gates are blocks of rows, and the hidden units are read by
// the weights of the next step, which write them.
#include "operators.hpp"

#include <ATen/ATen.h>

#include <map>
#include <utility>

namespace dynascope::network {
namespace {

/// The weights of one layer in one direction.
struct Weights {
  Use input, hidden, projection;
  bool projected = false;
  int64_t units = 0;    ///< hidden units
  int64_t outputs = 0;  ///< after the projection
  int64_t gates = 1;
};

int64_t gates_of(const std::string& name) {
  return name.find("lstm") != std::string::npos ? 4 : name.find("gru") != std::string::npos ? 3 : 1;
}

std::string kind_of(const Call& call) {
  const std::string name = plain_name(call.operation.name);
  return name.substr(0, name.find('_'));
}

std::string layer_name(const Use& use, int64_t layer) {
  const std::string number = "l" + std::to_string(layer);
  return use.owner == use.layer.name ? number : use.owner + "." + number;
}

Use use_of(const Call& call, const Signal& weight, const Signal* bias) {
  const std::string kind = kind_of(call);
  Use use = use_of_parameter(call, weight, kind.c_str(), 0);
  if (bias != nullptr) {
    use.layer.bias = bias_of(call, *bias, use.layer.weight.size(0));
  }
  return use;
}

/// Creates the hidden units of one layer: `weights`, one entry per direction, write them, reading `source` and the
/// units themselves. `dims` are the tensor's other axes.
Activation add_layer(Call& call, const Activation& source, std::vector<Weights> weights, const std::string& name,
                     Activation& hidden) {
  FlowBuilder& builder = call.builder;
  const auto directions = static_cast<int64_t>(weights.size());
  const Weights& first = weights[0];
  const auto make = [&](const std::string& called, int64_t units) {
    return builder.add_units(source, called, directions * units);
  };
  hidden = make(first.projected ? name + ".hidden" : name, first.units);
  Activation result = first.projected ? make(name, first.outputs) : hidden;
  for (int64_t d = 0; d < directions; ++d) {
    Weights& own = weights[static_cast<size_t>(d)];
    const auto range = [&](const Activation& value, int64_t units) {
      return builder.slice(value, value.dims.size() - 1, d * units, units);
    };
    builder.write_units(hidden, source, std::move(own.input), {-1, d * own.units, own.units, own.gates});
    builder.write_units(hidden, range(result, own.outputs), std::move(own.hidden),
                        {-1, d * own.units, own.units, own.gates});
    if (own.projected) {
      builder.write_units(result, range(hidden, own.units), std::move(own.projection),
                          {-1, d * own.outputs, own.outputs, 1});
    }
  }
  return result;
}

/// A first state made by others is the state of one step before: the weights of the step read it too. An LSTM's cell
/// state goes on through gates alone, which hold no links, at the first step as at any other.
/// @param position  of the layer and direction in the state's first axis; -1: the state has none
void read_first_state(Call& call, const Activation& hidden, int64_t direction, int64_t position) {
  const std::vector<const Signal*> states = call.list("hx");
  if (states.empty() || states[0]->kind != Signal::Kind::kActivation) {
    return;
  }
  FlowBuilder& builder = call.builder;
  const Activation& all = states[0]->activation;
  Origin& units = builder.flow.origins[static_cast<size_t>(hidden.origin)];
  units.sources.push_back(all.origin);
  builder.read_again(position < 0 ? all : builder.squeeze(builder.slice(all, 0, position, 1), 0),
                     units.writers[static_cast<size_t>(2 * direction + 1)].use);
}

std::vector<Weights> read_weights(Call& call) {
  const std::vector<const Signal*> parameters = call.list("params");
  const bool biased = call.flag("has_biases", false);
  const int64_t layers = call.integer("num_layers", 1) * (call.flag("bidirectional", false) ? 2 : 1);
  const size_t each = parameters.size() / static_cast<size_t>(layers);
  const bool projected = each == (biased ? 5U : 3U);
  if (each * static_cast<size_t>(layers) != parameters.size() || (!projected && each != (biased ? 4U : 2U))) {
    throw NotFollowed("its parameters are of an unexpected number");
  }
  std::vector<Weights> result;
  for (size_t i = 0; i < parameters.size(); i += each) {
    Weights own;
    own.input = use_of(call, *parameters[i], biased ? parameters[i + 2] : nullptr);
    own.hidden = use_of(call, *parameters[i + 1], biased ? parameters[i + 3] : nullptr);
    own.gates = gates_of(call.operation.name);
    own.units = own.outputs = own.input.layer.weight.size(0) / own.gates;
    own.projected = projected;
    if (projected) {
      own.projection = use_of(call, *parameters[i + each - 1], nullptr);
      own.outputs = own.projection.layer.weight.size(0);
    }
    result.push_back(std::move(own));
  }
  return result;
}

/// The last state of every layer and direction, as one tensor (layers * directions, batch, units).
Activation last_states(Call& call, const std::vector<Activation>& layers, const std::vector<int64_t>& sizes,
                       size_t directions) {
  FlowBuilder& builder = call.builder;
  const bool packed = call.find("batch_sizes") != nullptr;
  std::vector<FlowBuilder::Part> parts;
  for (const Activation& layer : layers) {
    for (size_t d = 0; d < directions; ++d) {
      const int64_t units = sizes.back();
      Activation state = builder.slice(layer, layer.dims.size() - 1, static_cast<int64_t>(d) * units, units);
      if (packed) {
        state = builder.mix(state, 0, sizes[sizes.size() - 2]);
      } else {
        const size_t time = state.dims.size() == 3 && call.flag("batch_first", false) ? 1 : 0;
        const int64_t steps = builder.size(state.dims[time]);
        state = builder.squeeze(builder.slice(state, time, d == 0 ? steps - 1 : 0, 1), time);
      }
      parts.push_back({builder.unsqueeze(state, 0), 1});
    }
  }
  return builder.join(parts, 0, sizes);
}

Activation read_layers(Call& call) {
  Activation value = call.activation(call.find("data") != nullptr ? "data" : "input");
  std::vector<Weights> weights = read_weights(call);
  const size_t directions = call.flag("bidirectional", false) ? 2 : 1;
  std::vector<Activation> outputs, states;
  for (size_t i = 0; i < weights.size(); i += directions) {
    const auto first = weights.begin() + static_cast<std::ptrdiff_t>(i);
    const std::string name = layer_name(first->input, static_cast<int64_t>(i / directions));
    Activation hidden;
    value = add_layer(call, value, {first, first + static_cast<std::ptrdiff_t>(directions)}, name, hidden);
    for (size_t d = 0; d < directions; ++d) {
      read_first_state(call, hidden, static_cast<int64_t>(d), static_cast<int64_t>(i + d));
    }
    outputs.push_back(value);
    states.push_back(hidden);
  }
  call.more.push_back(last_states(call, outputs, call.output_sizes(1), directions));
  if (call.operation.outputs.size() > 2) {
    call.more.push_back(last_states(call, states, call.output_sizes(2), directions));
  }
  return value;
}

bool is_layer_of(const FlowBuilder& builder, int32_t origin, const Use& input) {
  const Origin& units = builder.flow.origins[static_cast<size_t>(origin)];
  const Use& written = builder.flow.uses[static_cast<size_t>(units.writers[0].use)];
  return written.layer.name == input.layer.name && written.layer.weight.is_same(input.layer.weight);
}

/// A cell used again on its own state is the same layer one step later.
Activation read_cell(Call& call) {
  FlowBuilder& builder = call.builder;
  const Activation& source = call.activation("input");
  Weights own;
  own.input = use_of(call, call.signal("w_ih"), call.has("b_ih") ? &call.signal("b_ih") : nullptr);
  own.hidden = use_of(call, call.signal("w_hh"), call.has("b_hh") ? &call.signal("b_hh") : nullptr);
  own.gates = gates_of(call.operation.name);
  own.units = own.outputs = own.input.layer.weight.size(0) / own.gates;

  for (const Signal* state : call.list("hx")) {
    if (state->kind != Signal::Kind::kActivation || builder.origin_of(state->activation).writers.size() < 2 ||
        !is_layer_of(builder, state->activation.origin, own.input)) {
      continue;
    }
    const int32_t origin = state->activation.origin;
    builder.read_again(source, builder.flow.origins[static_cast<size_t>(origin)].writers[0].use);
    Activation units{origin, builder.flow.origins[static_cast<size_t>(origin)].dims, {}};
    call.more.push_back(units);
    return units;
  }
  Activation hidden;
  const std::string name = own.input.owner == own.input.layer.name ? kind_of(call) : own.input.owner;
  Activation units = add_layer(call, source, {std::move(own)}, name, hidden);
  read_first_state(call, hidden, 0, -1);
  call.more.push_back(units);
  return units;
}

}  // namespace

Reader find_recurrent_reader(const std::string& name) {
  static const std::map<std::string, Reader> kReaders = {
      {"lstm", read_layers},    {"gru", read_layers},    {"rnn_tanh", read_layers},    {"rnn_relu", read_layers},
      {"lstm_cell", read_cell}, {"gru_cell", read_cell}, {"rnn_tanh_cell", read_cell}, {"rnn_relu_cell", read_cell}};
  const auto found = kReaders.find(name);
  return found == kReaders.end() ? nullptr : found->second;
}

}  // namespace dynascope::network
