// SPDX-License-Identifier: BSD-3-Clause
#include "replicas.hpp"

#include <dynascope/error.hpp>
#include <dynascope/metrics.hpp>

#include <ATen/ops/as_strided.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::engine {
namespace {

Network replica_of(const Network& network, int64_t replica) {
  Network one = network;
  one.parameters.clear();
  for (WeightLayer& layer : one.weight_layers) {
    layer.weight = layer.weight.select(0, replica);
    if (layer.bias.defined()) {
      layer.bias = layer.bias.select(0, replica);
    }
  }
  return one;
}

}  // namespace

std::optional<int64_t> replicas_of(const Network& network) {
  std::optional<int64_t> replicas;
  std::string first;
  bool known = false;
  const auto look = [&](const at::Tensor& tensor, int64_t dimensions, const std::string& name) {
    if (!tensor.defined() || (tensor.dim() != dimensions && tensor.dim() != dimensions + 1)) {
      return;  // the plan says what is wrong
    }
    std::optional<int64_t> size;
    if (tensor.dim() == dimensions + 1) {
      size = tensor.size(0);
    }
    if (known && size != replicas) {
      throw Error("all parameters must have one replica axis, or none, got " +
                  (replicas ? std::to_string(*replicas) + " replicas" : std::string("none")) + " for " + first +
                  " and " + c10::str(tensor.sizes()) + " for " + name);
    }
    replicas = size;
    first = known ? first : name;
    known = true;
  };
  for (const WeightLayer& layer : network.weight_layers) {
    const bool placed = !layer.sources.empty() || !layer.targets.empty();
    if (placed) {
      look(layer.weight, static_cast<int64_t>(layer.axes.size()) + 2, layer.name);
    }
    look(layer.bias, 1, "the bias of " + layer.name);
  }
  return replicas;
}

Network side_by_side(const Network& network, int64_t replicas) {
  Network all;
  all.skipped = network.skipped;
  const auto node_layers = static_cast<int32_t>(network.node_layers.size());
  for (int64_t replica = 0; replica < replicas; ++replica) {
    Network one = replica_of(network, replica);
    const std::string mark = "@" + std::to_string(replica);
    const auto shift = static_cast<int32_t>(replica) * node_layers;
    for (NodeLayer& layer : one.node_layers) {
      layer.name += mark;
      all.node_layers.push_back(std::move(layer));
    }
    const auto move_ends = [&](auto& layer) {
      for (auto* ends : {&layer.sources, &layer.targets}) {
        for (LinkEnd& end : *ends) {
          end.node_layer += end.node_layer >= 0 ? shift : 0;
        }
      }
    };
    for (WeightLayer& layer : one.weight_layers) {
      layer.name += mark;
      move_ends(layer);
      all.weight_layers.push_back(std::move(layer));
    }
    for (IdentityLayer& layer : one.identity_layers) {
      move_ends(layer);
      all.identity_layers.push_back(std::move(layer));
    }
  }
  return all;
}

Network first_replica(const Network& network) { return replica_of(network, 0); }

}  // namespace dynascope::engine

namespace dynascope {
namespace {

// Of `tensor`, a view of `parameter`, the same view of `other`, or of each of its replicas.
at::Tensor view_like(const at::Tensor& tensor, const at::Tensor& parameter, const at::Tensor& other) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  std::vector<int64_t> strides = tensor.strides().vec();
  if (other.dim() > parameter.dim()) {
    sizes.insert(sizes.begin(), other.size(0));
    strides.insert(strides.begin(), other.stride(0));
  }
  return at::as_strided(other, sizes, strides,
                        other.storage_offset() + tensor.storage_offset() - parameter.storage_offset());
}

// `other` in the memory layout of `parameter`, replica by replica.
at::Tensor laid_out_like(const NamedParameter& parameter, const at::Tensor& other) {
  const bool stacked = other.dim() == parameter.value.dim() + 1;
  const at::IntArrayRef sizes = stacked ? other.sizes().slice(1) : other.sizes();
  if (sizes != parameter.value.sizes()) {
    throw Error("parameter " + parameter.name + " must have the shape " + c10::str(parameter.value.sizes()) +
                ", or that with a replica axis in front, got " + c10::str(other.sizes()));
  }
  const at::IntArrayRef strides = stacked ? other.strides().slice(1) : other.strides();
  if (strides == parameter.value.strides()) {
    return other;
  }
  throw Error("parameter " + parameter.name + " must have the strides " + c10::str(parameter.value.strides()) +
              " within a replica, got " + c10::str(strides));
}

}  // namespace

Network with_parameters(const Network& network, const std::vector<NamedParameter>& parameters) {
  Network other = network;
  std::set<std::string> given;
  for (NamedParameter& parameter : other.parameters) {
    const auto namesake = std::find_if(parameters.begin(), parameters.end(), [&](const NamedParameter& candidate) {
      return candidate.name == parameter.name;
    });
    if (namesake != parameters.end()) {
      parameter.value = laid_out_like(parameter, namesake->value);
      given.insert(parameter.name);
    }
  }
  const auto follow = [&](at::Tensor& tensor, const std::string& name) {
    for (size_t i = 0; tensor.defined() && i < network.parameters.size(); ++i) {
      const NamedParameter& before = network.parameters[i];
      if (tensor.is_alias_of(before.value)) {
        if (given.count(before.name) == 0) {
          throw Error("a value for parameter " + before.name + " is missing: " + name + " is made of it");
        }
        tensor = view_like(tensor, before.value, other.parameters[i].value);
        return;
      }
    }
    for (const ComputedWeight& computed : network.computed) {
      if (tensor.defined() && tensor.is_alias_of(computed.value)) {
        throw Error(name + " must be a parameter, got one that is computed from parameters");
      }
    }
    if (tensor.defined()) {
      throw Error(name + " must belong to a parameter of the network, got a tensor of its own");
    }
  };
  for (WeightLayer& layer : other.weight_layers) {
    follow(layer.weight, layer.name);
    follow(layer.bias, "the bias of " + layer.name);
  }
  return other;
}

}  // namespace dynascope
