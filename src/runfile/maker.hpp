// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "hdf5_handles.hpp"

#include <dynascope/row_layout.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

// Makes datasets that netCDF, xarray and h5py understand: scales on their axes, long_name, units, fill values.
namespace dynascope::h5 {

/// An element type: little-endian in the file, native in memory.
struct Element {
  hid_t file;
  hid_t memory;
  size_t bytes;
  const void* fill;  ///< NaN, -1 or 0
  bool floating;
};

/// For float, double, uint8_t, int32_t, int64_t, uint64_t.
template <class T>
Element element();
Element element(RowType type);

/// One axis of a dataset. Axes of size 0 may grow too, like netCDF's: HDF5 has no chunks for them otherwise.
struct Axis {
  std::string scale;  ///< path of its dimension scale: the dataset itself, or one made before it; empty: none
  int64_t size = kGrows;
  static constexpr int64_t kGrows = -1;
};

struct Meaning {
  std::string long_name;
  std::string units;
};

/// How a dataset lies in the file.
struct Packing {
  hsize_t chunk_bytes;
  hsize_t most_rows_per_chunk;
  unsigned deflate;  ///< level; 0: none
};

/// A file holds at least one chunk of each dataset, and HDF5 an address of each chunk; these keep both small. No
/// filter, as a filtered chunk moves with every flush.
constexpr Packing kLive{32768, 256, 0};
/// Nothing is flushed twice, and larger chunks compress better.
constexpr Packing kArchive{65536, 16384, 6};

class Maker {
 public:
  explicit Maker(hid_t file, const Packing& packing = kLive) : file_(file), packing_(packing) {}

  hid_t file() const noexcept { return file_; }

  Id group(const std::string& path) { return create_group(file_, path); }

  /// A dataset whose first axis grows.
  Id growing(const std::string& path, const Element& element, const std::vector<Axis>& axes, const Meaning& meaning);
  Id growing_strings(const std::string& path, size_t bytes, const Axis& axis, const Meaning& meaning);

  /// A dataset that is complete at once; no axes: a scalar.
  template <class T>
  void values(const std::string& path, const std::vector<T>& values, const std::vector<Axis>& axes,
              const Meaning& meaning) {
    constant(path, element<T>(), values.data(), axes, meaning);
  }
  void strings(const std::string& path, const std::vector<std::string>& values, const Axis& axis,
               const Meaning& meaning);

 private:
  Id dataset(const std::string& path, const Element& element, const std::vector<Axis>& axes, const Meaning& meaning);
  void constant(const std::string& path, const Element& element, const void* values, const std::vector<Axis>& axes,
                const Meaning& meaning);
  void scale_axes(hid_t dataset, const std::string& path, const std::vector<Axis>& axes);

  hid_t file_;
  Packing packing_;
  std::map<std::string, Id> scales_;
};

}  // namespace dynascope::h5
