// SPDX-License-Identifier: BSD-3-Clause
#include "maker.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace dynascope::h5 {
namespace {

// HDF5 takes up to 4 GiB.
constexpr hsize_t kLargestChunkBytes = hsize_t{1} << 30;

// Rows, or a row, or where that is too large a part of one.
Dims chunk_of(const Dims& dims, size_t element_bytes, const Packing& packing) {
  Dims chunk(dims.size());
  hsize_t row_bytes = element_bytes;
  for (size_t axis = 1; axis < dims.size(); ++axis) {
    chunk[axis] = std::max<hsize_t>(dims[axis], 1);
    row_bytes *= chunk[axis];
  }
  chunk[0] = std::clamp<hsize_t>(packing.chunk_bytes / row_bytes, 1, packing.most_rows_per_chunk);
  for (size_t axis = 1; axis < dims.size() && row_bytes > kLargestChunkBytes; ++axis) {
    row_bytes /= chunk[axis];
    chunk[axis] = std::max<hsize_t>(kLargestChunkBytes / std::max<hsize_t>(row_bytes, 1), 1);
    row_bytes *= chunk[axis];
  }
  return chunk;
}

bool complete(const std::vector<Axis>& axes) {
  return std::all_of(axes.begin(), axes.end(), [](const Axis& axis) { return axis.size > 0; });
}

std::vector<char> padded(const std::vector<std::string>& values, size_t bytes) {
  std::vector<char> block(values.size() * bytes, '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    std::memcpy(block.data() + i * bytes, values[i].data(), values[i].size());
  }
  return block;
}

Element string_element(hid_t type, size_t bytes) { return {type, type, bytes, nullptr, false}; }

template <class T>
Element number(hid_t file) {
  static const T fill = std::numeric_limits<T>::is_integer ? static_cast<T>(std::is_signed_v<T> ? -1 : 0)
                                                           : std::numeric_limits<T>::quiet_NaN();
  return {file, native<T>(), sizeof(T), &fill, !std::numeric_limits<T>::is_integer};
}

}  // namespace

template <>
Element element<float>() {
  return number<float>(H5T_IEEE_F32LE);
}
template <>
Element element<double>() {
  return number<double>(H5T_IEEE_F64LE);
}
template <>
Element element<uint8_t>() {
  return number<uint8_t>(H5T_STD_U8LE);
}
template <>
Element element<int32_t>() {
  return number<int32_t>(H5T_STD_I32LE);
}
template <>
Element element<int64_t>() {
  return number<int64_t>(H5T_STD_I64LE);
}
template <>
Element element<uint64_t>() {
  return number<uint64_t>(H5T_STD_U64LE);
}

Element element(RowType type) {
  return type == RowType::kFloat32   ? element<float>()
         : type == RowType::kFloat64 ? element<double>()
                                     : element<int64_t>();
}

Id Maker::dataset(const std::string& path, const Element& element, const std::vector<Axis>& axes,
                  const Meaning& meaning) {
  Dims dims;
  Dims limits;
  for (const Axis& axis : axes) {
    dims.push_back(static_cast<hsize_t>(std::max<int64_t>(axis.size, 0)));
    limits.push_back(axis.size > 0 ? dims.back() : H5S_UNLIMITED);
  }
  const Storage storage{complete(axes) ? Dims{} : chunk_of(dims, element.bytes, packing_), element.memory, element.fill,
                        packing_.deflate};
  const Id space = axes.empty() ? scalar_space() : simple_space(dims, limits);
  Id made = create_dataset(file_, path, element.file, space.get(), storage);
  write_attribute(made.get(), "long_name", meaning.long_name);
  write_attribute(made.get(), "units", meaning.units);
  if (element.floating) {
    // On integers xarray would take it for "missing" and turn them into floats.
    write_attribute(made.get(), "_FillValue", element.file, simple_space({1}, {1}).get(), element.memory, element.fill);
  }
  scale_axes(made.get(), path, axes);
  return made;
}

void Maker::scale_axes(hid_t dataset, const std::string& path, const std::vector<Axis>& axes) {
  for (size_t axis = 0; axis < axes.size(); ++axis) {
    const std::string& scale = axes[axis].scale;
    if (scale == path) {
      set_scale(dataset, path.substr(path.rfind('/') + 1));
      scales_.emplace(path, open_dataset(file_, path));
    } else if (!scale.empty()) {
      attach_scale(dataset, scales_.at(scale).get(), axis, path);
    }
  }
}

Id Maker::growing(const std::string& path, const Element& element, const std::vector<Axis>& axes,
                  const Meaning& meaning) {
  return dataset(path, element, axes, meaning);
}

Id Maker::growing_strings(const std::string& path, size_t bytes, const Axis& axis, const Meaning& meaning) {
  const Id type = string_type(bytes);
  return dataset(path, string_element(type.get(), bytes), {axis}, meaning);
}

void Maker::constant(const std::string& path, const Element& element, const void* values, const std::vector<Axis>& axes,
                     const Meaning& meaning) {
  const Id made = dataset(path, element, axes, meaning);
  if (complete(axes)) {
    write(made.get(), element.memory, H5S_ALL, H5S_ALL, values, path);
  }
}

void Maker::strings(const std::string& path, const std::vector<std::string>& values, const Axis& axis,
                    const Meaning& meaning) {
  size_t bytes = 1;
  for (const std::string& value : values) {
    bytes = std::max(bytes, value.size());
  }
  const Id type = string_type(bytes);
  constant(path, string_element(type.get(), bytes), padded(values, bytes).data(), {axis}, meaning);
}

}  // namespace dynascope::h5
