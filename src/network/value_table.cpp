// SPDX-License-Identifier: BSD-3-Clause
#include "value_table.hpp"

#include <ATen/ATen.h>

#include <iterator>

namespace dynascope::network {

ValueTable::ValueTable(const ModuleTree& tree) : tree_(tree) {
  for (size_t i = 0; i < tree.parameters.size(); ++i) {
    parameters_[storage_of(tree.parameters[i].value)].push_back(static_cast<int32_t>(i));
  }
  for (const at::Tensor& buffer : tree.buffers) {
    buffers_.emplace(storage_of(buffer), buffer);
  }
}

const void* ValueTable::storage_of(const at::Tensor& tensor) {
  return tensor.has_storage() ? static_cast<const void*>(tensor.storage().unsafeGetStorageImpl())
                              : static_cast<const void*>(tensor.unsafeGetTensorImpl());
}

ValueTable::Geometry ValueTable::geometry_of(const at::Tensor& tensor) {
  const bool strided = tensor.has_storage() && tensor.layout() == at::kStrided;
  return {storage_of(tensor), strided ? tensor.storage_offset() : 0, tensor.sizes().vec(),
          strided ? tensor.strides().vec() : std::vector<int64_t>()};
}

int32_t ValueTable::parameter_of(const at::Tensor& tensor) const {
  const auto found = parameters_.find(storage_of(tensor));
  if (found == parameters_.end()) {
    return -1;
  }
  // Several parameters may lie in one storage: the one whose memory range holds the view's.
  const auto range = [](const at::Tensor& t) {
    int64_t last = t.storage_offset();
    for (int64_t dim = 0; dim < t.dim(); ++dim) {
      last += (t.size(dim) - 1) * t.stride(dim);
    }
    return std::make_pair(t.storage_offset(), last);
  };
  const auto [first, last] = range(tensor);
  for (const int32_t parameter : found->second) {
    const auto [begin, end] = range(tree_.parameters[static_cast<size_t>(parameter)].value);
    if (begin <= first && last <= end) {
      return parameter;
    }
  }
  return found->second.front();
}

ValueId ValueTable::add(const at::Tensor& tensor, Value::Kind kind) {
  Value value;
  value.kind = kind;
  value.tensor = tensor;
  value.sizes = tensor.sizes().vec();
  value.floating = at::isFloatingType(tensor.scalar_type()) || at::isComplexType(tensor.scalar_type());
  value.parameter = parameter_of(tensor);
  if (value.parameter >= 0) {
    value.kind = Value::Kind::kParameter;
  }
  const auto storage = storages_.emplace(storage_of(tensor), static_cast<int32_t>(storages_.size()));
  value.storage = storage.first->second;
  const auto id = static_cast<ValueId>(values.size());
  values.push_back(std::move(value));
  by_impl_[tensor.unsafeGetTensorImpl()] = id;
  by_geometry_[geometry_of(tensor)] = id;
  return id;
}

ValueId ValueTable::find(const at::Tensor& tensor) {
  const auto by_impl = by_impl_.find(tensor.unsafeGetTensorImpl());
  const auto by_geometry = by_geometry_.find(geometry_of(tensor));
  // A tensor given other memory (set_data) is another value, whatever its handle was before.
  if (by_impl != by_impl_.end() && by_geometry != by_geometry_.end() &&
      values[static_cast<size_t>(by_impl->second)].storage ==
          values[static_cast<size_t>(by_geometry->second)].storage) {
    return by_impl->second;
  }
  if (by_geometry != by_geometry_.end()) {
    by_impl_[tensor.unsafeGetTensorImpl()] = by_geometry->second;
    handles_.push_back(tensor);
    return by_geometry->second;
  }
  const void* storage = storage_of(tensor);
  if (storages_.count(storage) != 0) {
    return add(tensor, Value::Kind::kUnseenView);
  }
  return add(tensor, buffers_.count(storage) != 0 ? Value::Kind::kBuffer : Value::Kind::kOutside);
}

ValueId ValueTable::make(const at::Tensor& tensor) { return add(tensor, Value::Kind::kOperator); }

std::vector<std::pair<ValueId, ValueId>> ValueTable::renew_aliases(const at::Tensor& tensor) {
  std::vector<std::pair<ValueId, ValueId>> renewed;
  if (parameters_.count(storage_of(tensor)) != 0) {
    return renewed;
  }
  const ValueId written = by_impl_.at(tensor.unsafeGetTensorImpl());
  const int32_t storage = values[static_cast<size_t>(written)].storage;
  std::vector<ValueId> others;
  for (auto entry = by_impl_.begin(); entry != by_impl_.end();) {
    const auto& [impl, id] = *entry;
    const Value& value = values[static_cast<size_t>(id)];
    const bool own = value.tensor.unsafeGetTensorImpl() == impl;
    if (id != written && value.storage == storage && own) {
      others.push_back(id);
    }
    // Another handle of an old value is found again by its geometry.
    entry = value.storage == storage && !own ? by_impl_.erase(entry) : std::next(entry);
  }
  for (const ValueId id : others) {
    const at::Tensor other = values[static_cast<size_t>(id)].tensor;
    if (geometry_of(other) == geometry_of(tensor)) {
      by_impl_[other.unsafeGetTensorImpl()] = written;  // another handle of the whole
    } else {
      renewed.emplace_back(id, add(other, Value::Kind::kOperator));
    }
  }
  by_geometry_[geometry_of(tensor)] = written;
  return renewed;
}

at::Tensor ValueTable::owner_of(const at::Tensor& tensor) const {
  const int32_t parameter = parameter_of(tensor);
  if (parameter >= 0) {
    return tree_.parameters[static_cast<size_t>(parameter)].value;
  }
  const auto buffer = buffers_.find(storage_of(tensor));
  return buffer == buffers_.end() ? at::Tensor() : buffer->second;
}

}  // namespace dynascope::network
