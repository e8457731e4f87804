// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fork_gate.hpp"

#include <dynascope/error.hpp>

#include <hdf5.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The HDF5 C API, each call wrapped once: ids close themselves, failures are exceptions that carry HDF5's own words.
// Call names carry their version (H5Dcreate2), so the program means the same whatever API HDF5 was built to default to.
namespace dynascope::h5 {

/// Keeps HDF5 from printing its error stack while it lives, and gives the user's setting back afterwards. Whatever we
/// do with HDF5 happens under one, so that it also tells fork() to wait.
class Silence {
 public:
  Silence();
  ~Silence();
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  fork_gate::Inside inside_;
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// A failed HDF5 call: what we were doing, then the outermost and the innermost reason of HDF5's error stack.
class Hdf5Error final : public Error {
 public:
  /// Takes the stack of the call that just failed on this thread.
  static Hdf5Error current(std::string_view doing, std::string_view what);

  /// Every line of the stack, outermost first.
  const std::vector<std::string>& stack() const noexcept { return stack_; }

 private:
  Hdf5Error(const std::string& message, std::vector<std::string> stack);
  std::vector<std::string> stack_;
};

/// Any HDF5 identifier; closes it without throwing.
class Id {
 public:
  using Closer = herr_t (*)(hid_t);

  Id() = default;
  Id(hid_t id, Closer closer) : id_(id), closer_(closer) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(other.closer_) {}
  Id& operator=(Id&& other) noexcept;
  ~Id();

  hid_t get() const noexcept { return id_; }
  explicit operator bool() const noexcept { return id_ >= 0; }

  /// Closes it now. @throws Hdf5Error; the identifier is gone either way, as a failed close must not be repeated.
  void close(std::string_view what);

 private:
  hid_t id_ = H5I_INVALID_HID;
  Closer closer_ = nullptr;
};

using Dims = std::vector<hsize_t>;

/// In-memory types by C++ type.
template <class T>
hid_t native();

/// A fixed-length, null-padded UTF-8 string type of `bytes` bytes (at least 1).
Id string_type(size_t bytes);
Id scalar_space();
/// A dataspace; H5S_UNLIMITED in `limits` where an axis grows.
Id simple_space(const Dims& dims, const Dims& limits);
/// The rows `first` to `first + dims[0] - 1` of a dataset's extent.
Id rows_of(hid_t dataset, hsize_t first, const Dims& dims);

Id register_driver(const H5FD_class_t& driver);
/// Creates a file that must not exist, in the format that 1.10 reads whatever the HDF5 release. `info` is the driver's.
Id create_file(const std::string& path, hid_t driver, const void* info);
/// Opens it for reading; `info` is the driver's.
Id open_file(const std::string& path, bool swmr, hid_t driver, const void* info);
void start_swmr_write(hid_t file);
void flush(hid_t file);

Id create_group(hid_t at, const std::string& path);
Id open_group(hid_t at, const std::string& path);

/// How a dataset is made: no `chunk` means contiguous; `fill` is one value of `fill_type`, or null.
struct Storage {
  Dims chunk;
  hid_t fill_type = H5I_INVALID_HID;
  const void* fill = nullptr;
  unsigned deflate = 0;  ///< level of compression of chunks; 0: none
};
Id create_dataset(hid_t at, const std::string& path, hid_t type, hid_t space, const Storage& storage);
Id open_dataset(hid_t at, const std::string& path);
/// A second path to the object at `path`: a hard link.
void add_name(hid_t at, const std::string& path, const std::string& name);
/// The same without a cache, where no filter needs one. HDF5 would write a chunk again for every flush that adds a row
/// to it, look through all chunks that it keeps at every flush, and keep a megabyte of them per dataset.
Id open_to_append(hid_t at, const std::string& path);
void refresh(hid_t dataset, const std::string& path);
void set_extent(hid_t dataset, const Dims& dims, const std::string& path);
void write(hid_t dataset, hid_t type, hid_t memory, hid_t file, const void* values, const std::string& path);
void read(hid_t dataset, hid_t type, hid_t memory, hid_t file, void* values, const std::string& path);

/// What a dataset or attribute is, without its values.
struct Shape {
  Dims dims;
  Dims limits;                      ///< H5S_UNLIMITED where an axis grows
  uint64_t count = 1;               ///< product of dims, at most 2^64 - 1
  H5T_class_t kind = H5T_NO_CLASS;  ///< H5T_NO_CLASS also for strings of variable length
  size_t element_bytes = 0;
  bool filtered = false;
  bool elsewhere = false;  ///< virtual, or with its data in other files
};
Shape shape_of(hid_t dataset);
Shape attribute_shape(hid_t attribute);
/// The fill value, as a double; none where the dataset was given none.
std::optional<double> fill_of(hid_t dataset);
Id type_of(hid_t dataset);
bool same_type(hid_t a, hid_t b);
Id attribute_type(hid_t attribute);
H5T_str_t padding_of(hid_t string_type);
std::vector<std::string> attribute_names(hid_t object);

/// True where `path`, whose parents exist, is a hard link.
bool is_hard_link(hid_t at, const std::string& path);
/// Names in a group, in the order of creation where it was kept.
std::vector<std::string> link_names(hid_t group, const std::string& path);

void set_scale(hid_t dataset, const std::string& name);
void attach_scale(hid_t dataset, hid_t scale, size_t axis, const std::string& path);
bool is_scale(hid_t dataset);
/// Number of scales on an axis.
int scales_on(hid_t dataset, size_t axis);
/// The only scale on an axis is `scale`. (H5DSis_attached would go through all that the scale is attached to.)
bool is_only_scale(hid_t dataset, hid_t scale, size_t axis);

/// Invalid where there is no such attribute.
Id find_attribute(hid_t at, const char* name);
void read_attribute(hid_t attribute, hid_t memory_type, void* value, const char* name);
void write_attribute(hid_t at, const char* name, hid_t type, hid_t space, hid_t memory_type, const void* value);
void write_attribute(hid_t at, const char* name, std::string_view value);
void write_attribute(hid_t at, const char* name, int64_t value);
void write_attribute(hid_t at, const char* name, const std::vector<int64_t>& values);

}  // namespace dynascope::h5
