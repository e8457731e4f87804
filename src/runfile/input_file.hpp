// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "hdf5_handles.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::h5 {

/// An HDF5 file of unknown origin, for reading. Trusts nothing it says about itself: kind, type, rank and size of
/// everything are checked before use, links lead nowhere but to the file itself, and no buffer is larger than the file
/// can fill.
///
/// Errors are one line, and open with the file's path.
class InputFile {
 public:
  /// A dataset that holds numbers or fixed-length strings in this file itself.
  struct Dataset {
    Id id;
    std::string path;
    Dims dims;
    H5T_class_t kind;      ///< H5T_INTEGER, H5T_FLOAT or H5T_STRING
    size_t element_bytes;  ///< in the file
    bool filtered;
  };

  /// Opens `path`; one that a writer holds, or left open, as a SWMR reader.
  /// @throws Error when it does not exist, is no regular file, no HDF5 file, or still being created
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  hid_t get() const noexcept { return file_.get(); }

  /// What the file says now about being open for writing. Reads the disk, not HDF5's memory of it.
  bool marked_open() const;

  int superblock_version() const;

  /// A process holds it for writing; false for one that was left behind. True where the file system cannot tell.
  bool has_writer() const;

  /// Opened as a SWMR reader: datasets may grow.
  bool live() const noexcept { return live_; }

  bool has(const std::string& object) const;
  Dataset open(const std::string& object) const;
  /// A per-row dataset whose rows must have the shape `row`.
  Dataset open_rows(const std::string& object, const std::vector<int64_t>& row) const;
  Id group(const std::string& object) const;

  /// Names in a group, in the order of creation where the file tells it.
  std::vector<std::string> names(const std::string& group) const;

  /// `count` numbers per row, rows `first` to `first + rows - 1`, converted to T. Integers only where T is one.
  template <class T>
  std::vector<T> read_rows(const Dataset& dataset, uint64_t first, uint64_t rows) const {
    std::vector<T> values(checked_count(dataset, first, rows, sizeof(T), std::is_integral_v<T>));
    read_into(dataset, native<T>(), first, rows, values.data());
    return values;
  }

  /// All of a dataset of this rank.
  template <class T>
  std::vector<T> read_all(const std::string& object, size_t rank) const {
    const Dataset dataset = open(object);
    check_rank(dataset, rank);
    return read_rows<T>(dataset, 0, rank == 0 ? 1 : dataset.dims[0]);
  }
  std::vector<std::string> read_strings(const Dataset& dataset, uint64_t rows) const;
  std::vector<std::string> read_strings(const std::string& object) const;

  /// Attributes of the object `at`, which messages call `object`; none where it has none of this name.
  std::optional<std::string> text(hid_t at, const std::string& object, const char* name) const;
  std::optional<std::vector<int64_t>> integers(hid_t at, const std::string& object, const char* name) const;

  [[noreturn]] void refuse(const std::string& what) const;
  void check_rank(const Dataset& dataset, size_t rank) const;

 private:
  size_t checked_count(const Dataset& dataset, uint64_t first, uint64_t rows, size_t bytes, bool integers) const;
  void check_size(const std::string& object, uint64_t bytes, bool filtered) const;
  void check_linked(const std::string& object) const;
  void read_into(const Dataset& dataset, hid_t type, uint64_t first, uint64_t rows, void* values) const;

  std::string path_;
  int descriptor_ = -1;
  bool live_ = false;
  Id driver_;
  Id file_;
};

}  // namespace dynascope::h5
