// SPDX-License-Identifier: BSD-3-Clause
// Tables: their input nodes are the vocabulary entries, whatever entries one forward pass looks up.
#include "operators.hpp"

#include <utility>

namespace dynascope::network {
namespace {

Activation read_embedding(Call& call) {
  const Signal& indices = call.signal("indices");
  const bool given = indices.kind == Signal::Kind::kActivation;
  if (indices.kind == Signal::Kind::kPredicate ||
      (given && call.builder.origin_of(indices.activation).kind != Origin::Kind::kInput)) {
    throw NotFollowed("its indices are decided by activations");
  }
  Use use = use_of_parameter(call, call.signal("weight"), "embedding", 1);
  const Activation vocabulary = call.builder.input("", {use.layer.weight.size(0)}, given, true);
  return call.builder.look_up(vocabulary, std::move(use), call.output_sizes());
}

}  // namespace

Reader find_embedding_reader(const std::string& name) {
  return name == "embedding" || name == "embedding_bag" || name == "_embedding_bag" ? read_embedding : nullptr;
}

}  // namespace dynascope::network
