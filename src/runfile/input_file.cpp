// SPDX-License-Identifier: BSD-3-Clause
#include "input_file.hpp"

#include "input_driver.hpp"
#include "life_mark.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <sys/stat.h>
#include <unistd.h>

namespace dynascope::h5 {
namespace {

// The best that HDF5's deflate filter does.
constexpr uint64_t kLargestCompression = 1100;
// Fill values that were never written take no room in the file.
constexpr uint64_t kUnwrittenBytes = uint64_t{1} << 20;

constexpr uint64_t kOverflow = std::numeric_limits<uint64_t>::max();

uint64_t times(uint64_t a, uint64_t b) { return a != 0 && b > kOverflow / a ? kOverflow : a * b; }

std::string trimmed(const char* from, size_t bytes, H5T_str_t padding) {
  std::string text(from, ::strnlen(from, bytes));
  if (padding == H5T_STR_SPACEPAD) {
    text.erase(text.find_last_not_of(' ') + 1);
  }
  return text;
}

int open_regular(const std::string& path) {
  // Without O_NONBLOCK a named pipe would wait for someone to write to it.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    throw Error("cannot open " + path + ": " + std::strerror(errno));
  }
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw Error("cannot open " + path + ": it is no regular file");
  }
  return descriptor;
}

constexpr size_t kVersion = 8;  // byte of the superblock

using Superblock = std::array<unsigned char, 12>;

std::optional<Superblock> superblock(int descriptor) {
  constexpr unsigned char kSignature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  Superblock block{};
  const bool whole = ::pread(descriptor, block.data(), block.size(), 0) == static_cast<ssize_t>(block.size());
  if (!whole || !std::equal(std::begin(kSignature), std::end(kSignature), block.begin())) {
    return std::nullopt;
  }
  return block;
}

}  // namespace

InputFile::InputFile(std::string path) : path_(std::move(path)), descriptor_(open_regular(path_)) {
  try {
    if (!superblock(descriptor_)) {
      throw Error(path_ + " is no HDF5 file");
    }
    driver_ = register_input_driver();
    live_ = marked_open();
    try {
      file_ = open_file(path_, live_, driver_.get(), &descriptor_);
    } catch (const Hdf5Error&) {
      if (live_) {
        throw;
      }
      live_ = true;
      file_ = open_file(path_, live_, driver_.get(), &descriptor_);
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

InputFile::~InputFile() {
  file_ = Id();
  ::close(descriptor_);
}

bool InputFile::marked_open() const {
  constexpr size_t kConsistency = 11;  // bit 0: open for writing, bit 2: by a single writer with readers
  const auto block = superblock(descriptor_);
  return block && (*block)[kVersion] >= 3 && ((*block)[kConsistency] & 5U) != 0;
}

int InputFile::superblock_version() const {
  const auto block = superblock(descriptor_);
  return block ? (*block)[kVersion] : -1;
}

bool InputFile::has_writer() const { return has_life_mark(descriptor_); }

void InputFile::refuse(const std::string& what) const {
  std::string line = path_ + ": " + what;
  std::replace(line.begin(), line.end(), '\n', ' ');
  throw Error(line);
}

bool InputFile::has(const std::string& object) const {
  for (size_t end = object.find('/', 1);; end = object.find('/', end + 1)) {
    if (!is_hard_link(file_.get(), object.substr(0, end))) {
      return false;
    }
    if (end == std::string::npos) {
      return true;
    }
  }
}

void InputFile::check_linked(const std::string& object) const {
  if (!has(object)) {
    refuse("there is no " + object + " in this file");
  }
}

InputFile::Dataset InputFile::open(const std::string& object) const {
  check_linked(object);
  Dataset dataset{open_dataset(file_.get(), object), object, {}, H5T_NO_CLASS, 0, false};
  if (live_) {
    refresh(dataset.id.get(), object);
  }
  const Shape shape = shape_of(dataset.id.get());
  if (shape.elsewhere) {
    refuse(object + " keeps its data outside this file, which no file of ours does");
  }
  if (shape.kind != H5T_INTEGER && shape.kind != H5T_FLOAT && shape.kind != H5T_STRING) {
    refuse(object + " must hold numbers or fixed-length strings");
  }
  dataset.dims = shape.dims;
  dataset.kind = shape.kind;
  dataset.element_bytes = shape.element_bytes;
  dataset.filtered = shape.filtered;
  return dataset;
}

InputFile::Dataset InputFile::open_rows(const std::string& object, const std::vector<int64_t>& row) const {
  Dataset dataset = open(object);
  check_rank(dataset, row.size() + 1);
  if (!std::equal(row.begin(), row.end(), dataset.dims.begin() + 1,
                  [](int64_t a, hsize_t b) { return static_cast<hsize_t>(a) == b; })) {
    refuse("the rows of " + object + " are not of the shape that the file's layers tell");
  }
  return dataset;
}

Id InputFile::group(const std::string& object) const {
  check_linked(object);
  return open_group(file_.get(), object);
}

std::vector<std::string> InputFile::names(const std::string& path) const { return link_names(group(path).get(), path); }

void InputFile::check_rank(const Dataset& dataset, size_t rank) const {
  if (dataset.dims.size() != rank) {
    refuse(dataset.path + " must have " + std::to_string(rank) + " axes, got " + std::to_string(dataset.dims.size()));
  }
}

void InputFile::check_size(const std::string& object, uint64_t bytes, bool filtered) const {
  struct stat status {};
  const uint64_t size = ::fstat(descriptor_, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  if (bytes > kUnwrittenBytes && bytes > times(size, filtered ? kLargestCompression : 1)) {
    refuse(object + " claims " + std::to_string(bytes) + " bytes, more than a file of " + std::to_string(size) +
           " bytes can hold");
  }
}

size_t InputFile::checked_count(const Dataset& dataset, uint64_t first, uint64_t rows, size_t bytes,
                                bool integers) const {
  const bool fits = integers ? dataset.kind == H5T_INTEGER : dataset.kind != H5T_STRING;
  if (!fits) {
    refuse(dataset.path + " must hold " + (integers ? "integers" : "numbers"));
  }
  const uint64_t extent = dataset.dims.empty() ? 1 : dataset.dims[0];
  if (first > extent || rows > extent - first) {
    refuse(dataset.path + " has " + std::to_string(extent) + " rows, too few for rows " + std::to_string(first) +
           " to " + std::to_string(first + rows) + " (exclusive)");
  }
  uint64_t count = rows;
  for (size_t axis = 1; axis < dataset.dims.size(); ++axis) {
    count = times(count, dataset.dims[axis]);
  }
  check_size(dataset.path, times(count, std::min(bytes, dataset.element_bytes)), dataset.filtered);
  return count;
}

void InputFile::read_into(const Dataset& dataset, hid_t type, uint64_t first, uint64_t rows, void* values) const {
  if (dataset.dims.empty()) {
    read(dataset.id.get(), type, H5S_ALL, H5S_ALL, values, dataset.path);
    return;
  }
  Dims dims = dataset.dims;
  dims[0] = rows;
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) {
    return;
  }
  const Id memory = simple_space(dims, dims);
  const Id place = rows_of(dataset.id.get(), first, dims);
  read(dataset.id.get(), type, memory.get(), place.get(), values, dataset.path);
}

std::vector<std::string> InputFile::read_strings(const Dataset& dataset, uint64_t rows) const {
  if (dataset.kind != H5T_STRING || dataset.dims.size() != 1 || rows > dataset.dims[0]) {
    refuse(dataset.path + " must be a list of at least " + std::to_string(rows) + " fixed-length strings");
  }
  const uint64_t bytes = times(rows, dataset.element_bytes);
  check_size(dataset.path, bytes, dataset.filtered);
  std::vector<char> block(bytes);
  const Id type = type_of(dataset.id.get());
  read_into(dataset, type.get(), 0, rows, block.data());
  std::vector<std::string> strings;
  for (uint64_t i = 0; i < rows; ++i) {
    strings.push_back(trimmed(block.data() + i * dataset.element_bytes, dataset.element_bytes, padding_of(type.get())));
  }
  return strings;
}

std::vector<std::string> InputFile::read_strings(const std::string& object) const {
  const Dataset dataset = open(object);
  check_rank(dataset, 1);
  return read_strings(dataset, dataset.dims[0]);
}

std::optional<std::string> InputFile::text(hid_t at, const std::string& object, const char* name) const {
  const Id attribute = find_attribute(at, name);
  if (!attribute) {
    return std::nullopt;
  }
  const Shape shape = attribute_shape(attribute.get());
  const std::string what = "attribute " + std::string(name) + " of " + object;
  if (shape.kind != H5T_STRING || shape.count != 1) {
    refuse(what + " must be one fixed-length string");
  }
  check_size(what, shape.element_bytes, false);
  std::vector<char> block(shape.element_bytes);
  const Id type = attribute_type(attribute.get());
  read_attribute(attribute.get(), type.get(), block.data(), name);
  return trimmed(block.data(), block.size(), padding_of(type.get()));
}

std::optional<std::vector<int64_t>> InputFile::integers(hid_t at, const std::string& object, const char* name) const {
  const Id attribute = find_attribute(at, name);
  if (!attribute) {
    return std::nullopt;
  }
  const Shape shape = attribute_shape(attribute.get());
  const std::string what = "attribute " + std::string(name) + " of " + object;
  if (shape.kind != H5T_INTEGER || shape.dims.size() > 1) {
    refuse(what + " must be integers");
  }
  check_size(what, times(shape.count, shape.element_bytes), false);
  std::vector<int64_t> values(shape.count);
  read_attribute(attribute.get(), native<int64_t>(), values.data(), name);
  return values;
}

}  // namespace dynascope::h5
