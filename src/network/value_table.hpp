// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which value a tensor is. By its TensorImpl; then by memory and geometry (detach, another handle); then as a view of a
// parameter's or buffer's memory.

#include "module_tree.hpp"
#include "recording.hpp"

#include <ATen/core/Tensor.h>

#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dynascope::network {

class ValueTable {
 public:
  explicit ValueTable(const ModuleTree& tree);

  std::vector<Value> values;

  /// The value that `tensor` is now; a new one where it was never seen.
  ValueId find(const at::Tensor& tensor);

  /// A new value: `tensor` was made or written by an operator.
  ValueId make(const at::Tensor& tensor);

  /// New values for all other tensors in the memory of `tensor`, which was written: before, after.
  std::vector<std::pair<ValueId, ValueId>> renew_aliases(const at::Tensor& tensor);

  /// The parameter or buffer in whose memory `tensor` lies; undefined where there is none.
  at::Tensor owner_of(const at::Tensor& tensor) const;

 private:
  using Geometry = std::tuple<const void*, int64_t, std::vector<int64_t>, std::vector<int64_t>>;

  static const void* storage_of(const at::Tensor& tensor);
  static Geometry geometry_of(const at::Tensor& tensor);
  int32_t parameter_of(const at::Tensor& tensor) const;
  ValueId add(const at::Tensor& tensor, Value::Kind kind);

  const ModuleTree& tree_;
  std::unordered_map<const void*, std::vector<int32_t>> parameters_;  // by storage
  std::unordered_map<const void*, at::Tensor> buffers_;               // by storage
  std::unordered_map<const void*, int32_t> storages_;
  std::unordered_map<const void*, ValueId> by_impl_;
  std::map<Geometry, ValueId> by_geometry_;
  std::vector<at::Tensor> handles_;  // keeps their TensorImpl from being used again
};

}  // namespace dynascope::network
