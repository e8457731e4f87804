// SPDX-License-Identifier: BSD-3-Clause
#include "computed.hpp"

#include <dynascope/error.hpp>

#include <ATen/ops/as_strided.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>

#include <vector>

namespace dynascope::engine {
namespace {

at::Tensor compute(const Network& network, const ComputedWeight& computed) {
  std::vector<at::Tensor> parameters;
  for (const size_t position : computed.parameters) {
    parameters.push_back(network.parameters.at(position).value);
  }
  at::Tensor now = computed.compute(parameters);
  if (now.sizes() != computed.value.sizes()) {
    throw Error(c10::str("a weight computed from ", network.parameters.at(computed.parameters.at(0)).name,
                         " must keep its shape ", computed.value.sizes(), ", got ", now.sizes()));
  }
  return now;
}

}  // namespace

void compute_weights(const Network& network) {
  const c10::AutoGradMode no_gradients(false);
  for (const ComputedWeight& computed : network.computed) {
    computed.value.copy_(compute(network, computed));
  }
}

void compute_weights_anew(Network& network) {
  const c10::AutoGradMode no_gradients(false);
  for (ComputedWeight& computed : network.computed) {
    const at::Tensor before = computed.value;
    computed.value = compute(network, computed).clone(at::MemoryFormat::Contiguous);
    for (WeightLayer& layer : network.weight_layers) {
      for (at::Tensor* tensor : {&layer.weight, &layer.bias}) {
        if (tensor->defined() && tensor->is_alias_of(before)) {
          *tensor = at::as_strided(computed.value, tensor->sizes(), tensor->strides(), tensor->storage_offset());
        }
      }
    }
  }
}

}  // namespace dynascope::engine
