// SPDX-License-Identifier: BSD-3-Clause
#include "views.hpp"

#include <dynascope/error.hpp>

#include <ATen/core/Tensor.h>

namespace dynascope::monitor {

Views::Views(const Network& network) {
  for (size_t layer = 0; layer < network.weight_layers.size(); ++layer) {
    add(network, layer, false);
    add(network, layer, true);
  }
}

void Views::add(const Network& network, size_t layer, bool bias) {
  const at::Tensor& tensor = bias ? network.weight_layers[layer].bias : network.weight_layers[layer].weight;
  if (!tensor.defined()) {
    return;
  }
  for (size_t i = 0; i < network.parameters.size(); ++i) {
    const at::Tensor& parameter = network.parameters[i].value;
    if (parameter.defined() && tensor.is_alias_of(parameter)) {
      views_.push_back({layer, bias, i, tensor.is_same(parameter), tensor.sizes().vec(), tensor.strides().vec(),
                        parameter.strides().vec(), tensor.storage_offset() - parameter.storage_offset()});
      return;
    }
  }
}

void Views::renew(Network& network) const {
  for (const View& view : views_) {
    const NamedParameter& parameter = network.parameters[view.parameter];
    if (!view.whole && parameter.value.strides() != at::IntArrayRef(view.parameter_strides)) {
      throw Error(parameter.name + " has other strides than at the trace, so that its parts cannot be found");
    }
    WeightLayer& layer = network.weight_layers[view.layer];
    (view.bias ? layer.bias : layer.weight) =
        view.whole ? parameter.value
                   : parameter.value.detach().as_strided(view.sizes, view.strides,
                                                         parameter.value.storage_offset() + view.offset);
  }
}

}  // namespace dynascope::monitor
