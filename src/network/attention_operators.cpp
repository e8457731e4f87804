// SPDX-License-Identifier: BSD-3-Clause
// Scores end the units that make them; what they are applied to keeps its own (docs/metrics.md, section 1, rule 6).
#include "operators.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::network {
namespace {

/// `value` in the sizes that scores made of it: other tokens, broadcast batches, heads that share a value.
Activation take_sizes(Call& call, Activation value, size_t tokens, const std::vector<int64_t>& sizes) {
  while (value.dims.size() < sizes.size()) {
    value = call.builder.unsqueeze(value, 0);
    ++tokens;
  }
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    const int64_t size = call.builder.size(value.dims[dim]);
    if (size == sizes[dim]) {
      continue;
    }
    if (dim == tokens) {
      value = call.builder.mix(value, dim, sizes[dim]);
    } else if (sizes[dim] % size == 0) {
      std::vector<int64_t> map;
      for (int64_t i = 0; i < sizes[dim]; ++i) {
        map.push_back(i / (sizes[dim] / size));
      }
      value = call.builder.gather(value, dim, std::move(map));
    } else {
      throw NotFollowed("scores are applied in another shape");
    }
  }
  return value;
}

Activation read_attention(Call& call) {
  for (const char* name : {"query", "key"}) {
    if (call.signal(name).kind == Signal::Kind::kActivation) {
      call.builder.read_by_scores(call.activation(name));
    }
  }
  const Activation& value = call.activation("value");
  return take_sizes(call, value, value.dims.size() - 2, call.output_sizes());
}

}  // namespace

Activation apply_scores(Call& call, const char* value) {
  const Activation& operand = call.activation(value);
  const std::string name = value;
  const bool right = name == "other" || name == "mat2" || name == "batch2" || name == "vec";
  const size_t rank = operand.dims.size();
  if (rank < 2 || call.output_sizes().size() < 2) {
    throw NotFollowed("scores are applied in another shape");
  }
  return take_sizes(call, operand, right ? rank - 2 : rank - 1, call.output_sizes());
}

Reader find_attention_reader(const std::string& name) {
  return name == "scaled_dot_product_attention" ? read_attention : nullptr;
}

}  // namespace dynascope::network
