// SPDX-License-Identifier: BSD-3-Clause
#include "hdf5_handles.hpp"

#include <hdf5_hl.h>

#include <algorithm>
#include <limits>

namespace dynascope::h5 {
namespace {

// A SWMR reader may meet metadata that is half written, and tries again after 1, 2, 4 ... ns. HDF5's default of 100
// attempts never comes back from broken metadata; these take a quarter of a second.
constexpr unsigned kReadAttempts = 28;

herr_t collect(unsigned, const H5E_error2_t* entry, void* into) {
  if (entry->desc != nullptr && *entry->desc != '\0') {
    static_cast<std::vector<std::string>*>(into)->emplace_back(entry->desc);
  }
  return 0;
}

std::vector<std::string> take_stack() {
  std::vector<std::string> stack;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &stack);
  H5Eclear2(H5E_DEFAULT);
  return stack;
}

std::string one_line(std::string_view doing, std::string_view what, const std::vector<std::string>& stack) {
  std::string line = "cannot " + std::string(doing) + " " + std::string(what);
  if (!stack.empty()) {
    line += ": HDF5 says " + stack.front();
    if (stack.back() != stack.front()) {
      line += " (" + stack.back() + ")";
    }
  }
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

template <class Result>
Result check(Result result, std::string_view doing, std::string_view what) {
  if (result < 0) {
    throw Hdf5Error::current(doing, what);
  }
  return result;
}

Id own(hid_t id, Id::Closer closer, std::string_view doing, std::string_view what) {
  return Id(check(id, doing, what), closer);
}

Id property_list(hid_t kind) { return own(H5Pcreate(kind), H5Pclose, "make", "a property list"); }

// With creation order a reader finds scalars and parameters in the order they were given.
void track_order(hid_t properties) {
  check(H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), "set", "creation order");
}

}  // namespace

Silence::Silence() {
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Silence::~Silence() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

Hdf5Error::Hdf5Error(const std::string& message, std::vector<std::string> stack)
    : Error(message), stack_(std::move(stack)) {}

Hdf5Error Hdf5Error::current(std::string_view doing, std::string_view what) {
  std::vector<std::string> stack = take_stack();
  const std::string message = one_line(doing, what, stack);
  return {message, std::move(stack)};
}

Id& Id::operator=(Id&& other) noexcept {
  std::swap(id_, other.id_);
  std::swap(closer_, other.closer_);
  return *this;
}

Id::~Id() {
  if (id_ >= 0) {
    closer_(id_);
  }
}

void Id::close(std::string_view what) {
  if (id_ >= 0) {
    check(closer_(std::exchange(id_, H5I_INVALID_HID)), "close", what);
  }
}

template <>
hid_t native<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
hid_t native<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
hid_t native<uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
hid_t native<int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
hid_t native<int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t native<uint64_t>() {
  return H5T_NATIVE_UINT64;
}

Id string_type(size_t bytes) {
  Id type = own(H5Tcopy(H5T_C_S1), H5Tclose, "copy", "the string type");
  check(H5Tset_size(type.get(), std::max<size_t>(bytes, 1)), "set the size of", "a string type");
  check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "set the padding of", "a string type");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "set the character set of", "a string type");
  return type;
}

Id scalar_space() { return own(H5Screate(H5S_SCALAR), H5Sclose, "make", "a dataspace"); }

Id simple_space(const Dims& dims, const Dims& limits) {
  return own(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), limits.data()), H5Sclose, "make",
             "a dataspace");
}

Id rows_of(hid_t dataset, hsize_t first, const Dims& dims) {
  Id space = own(H5Dget_space(dataset), H5Sclose, "read", "a dataset's extent");
  Dims start(dims.size(), 0);
  start.at(0) = first;
  check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, dims.data(), nullptr), "select",
        "rows of a dataset");
  return space;
}

Id register_driver(const H5FD_class_t& driver) {
  return own(H5FDregister(&driver), H5FDunregister, "register", "a file driver");
}

Id create_file(const std::string& path, hid_t driver, const void* info) {
  const Id creation = property_list(H5P_FILE_CREATE);
  track_order(creation.get());
  // The driver finds the place of every block (FileSpace); HDF5 keeps no account of its own.
  check(H5Pset_file_space_strategy(creation.get(), H5F_FSPACE_STRATEGY_NONE, 0, 1), "set", "the file space strategy");
  const Id access = property_list(H5P_FILE_ACCESS);
  check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "set", "the library version bounds");
  check(H5Pset_driver(access.get(), driver, info), "set", "the file driver");
  return own(H5Fcreate(path.c_str(), H5F_ACC_EXCL, creation.get(), access.get()), H5Fclose, "create", path);
}

Id open_file(const std::string& path, bool swmr, hid_t driver, const void* info) {
  const Id access = property_list(H5P_FILE_ACCESS);
  check(H5Pset_driver(access.get(), driver, info), "set", "the file driver");
  unsigned how = H5F_ACC_RDONLY;
  if (swmr) {
    check(H5Pset_metadata_read_attempts(access.get(), kReadAttempts), "set", "the number of read attempts");
    how |= H5F_ACC_SWMR_READ;
  }
  return own(H5Fopen(path.c_str(), how, access.get()), H5Fclose, "open", path);
}

void start_swmr_write(hid_t file) { check(H5Fstart_swmr_write(file), "let readers into", "the run file"); }

void flush(hid_t file) { check(H5Fflush(file, H5F_SCOPE_GLOBAL), "flush", "the run file"); }

Id create_group(hid_t at, const std::string& path) {
  const Id creation = property_list(H5P_GROUP_CREATE);
  track_order(creation.get());
  return own(H5Gcreate2(at, path.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Gclose, "create group", path);
}

Id open_group(hid_t at, const std::string& path) {
  return own(H5Gopen2(at, path.c_str(), H5P_DEFAULT), H5Gclose, "open group", path);
}

Id create_dataset(hid_t at, const std::string& path, hid_t type, hid_t space, const Storage& storage) {
  const Id creation = property_list(H5P_DATASET_CREATE);
  if (storage.chunk.empty()) {
    // Its place in the file must be known before readers come.
    check(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "set the allocation of", path);
  } else {
    check(H5Pset_chunk(creation.get(), static_cast<int>(storage.chunk.size()), storage.chunk.data()),
          "set the chunks of", path);
  }
  if (storage.deflate > 0 && !storage.chunk.empty()) {
    check(H5Pset_shuffle(creation.get()), "set the filters of", path);
    check(H5Pset_deflate(creation.get(), storage.deflate), "set the filters of", path);
  }
  if (storage.fill != nullptr) {
    check(H5Pset_fill_value(creation.get(), storage.fill_type, storage.fill), "set the fill value of", path);
  }
  return own(H5Dcreate2(at, path.c_str(), type, space, H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Dclose,
             "create dataset", path);
}

Id open_dataset(hid_t at, const std::string& path) {
  return own(H5Dopen2(at, path.c_str(), H5P_DEFAULT), H5Dclose, "open dataset", path);
}

void add_name(hid_t at, const std::string& path, const std::string& name) {
  check(H5Lcreate_hard(at, path.c_str(), at, name.c_str(), H5P_DEFAULT, H5P_DEFAULT), "link", path);
}

Id open_to_append(hid_t at, const std::string& path) {
  Id dataset = open_dataset(at, path);
  if (shape_of(dataset.get()).filtered) {
    return dataset;
  }
  dataset.close(path);
  const Id access = property_list(H5P_DATASET_ACCESS);
  check(H5Pset_chunk_cache(access.get(), 1, 0, 1), "set the chunk cache of", path);
  return own(H5Dopen2(at, path.c_str(), access.get()), H5Dclose, "open dataset", path);
}

void refresh(hid_t dataset, const std::string& path) { check(H5Drefresh(dataset), "refresh", path); }

void set_extent(hid_t dataset, const Dims& dims, const std::string& path) {
  check(H5Dset_extent(dataset, dims.data()), "extend", path);
}

void write(hid_t dataset, hid_t type, hid_t memory, hid_t file, const void* values, const std::string& path) {
  check(H5Dwrite(dataset, type, memory, file, H5P_DEFAULT, values), "write", path);
}

void read(hid_t dataset, hid_t type, hid_t memory, hid_t file, void* values, const std::string& path) {
  check(H5Dread(dataset, type, memory, file, H5P_DEFAULT, values), "read", path);
}

namespace {

void describe_extent(hid_t space, Shape& shape) {
  const int rank = check(H5Sget_simple_extent_ndims(space), "read", "a rank");
  shape.dims.resize(static_cast<size_t>(rank));
  shape.limits.resize(static_cast<size_t>(rank));
  check(H5Sget_simple_extent_dims(space, shape.dims.data(), shape.limits.data()), "read", "an extent");
  if (H5Sget_simple_extent_type(space) == H5S_NULL) {
    shape.count = 0;
  }
  for (const hsize_t size : shape.dims) {
    const bool overflow = shape.count != 0 && size > std::numeric_limits<uint64_t>::max() / shape.count;
    shape.count = overflow ? std::numeric_limits<uint64_t>::max() : shape.count * size;
  }
}

void describe_type(hid_t type, Shape& shape) {
  shape.kind = H5Tget_class(type);
  shape.element_bytes = H5Tget_size(type);
  if (shape.kind == H5T_STRING && H5Tis_variable_str(type) != 0) {
    shape.kind = H5T_NO_CLASS;
  }
}

}  // namespace

Shape shape_of(hid_t dataset) {
  Shape shape;
  describe_extent(own(H5Dget_space(dataset), H5Sclose, "read", "a dataset's extent").get(), shape);
  describe_type(type_of(dataset).get(), shape);
  const Id creation = own(H5Dget_create_plist(dataset), H5Pclose, "read", "how a dataset was made");
  shape.filtered = check(H5Pget_nfilters(creation.get()), "read", "a dataset's filters") > 0;
  const H5D_layout_t layout = check(H5Pget_layout(creation.get()), "read", "a dataset's layout");
  shape.elsewhere = layout == H5D_VIRTUAL || check(H5Pget_external_count(creation.get()), "read", "a layout") > 0;
  return shape;
}

Shape attribute_shape(hid_t attribute) {
  Shape shape;
  describe_extent(own(H5Aget_space(attribute), H5Sclose, "read", "an attribute's extent").get(), shape);
  describe_type(attribute_type(attribute).get(), shape);
  return shape;
}

std::optional<double> fill_of(hid_t dataset) {
  const Id creation = own(H5Dget_create_plist(dataset), H5Pclose, "read", "how a dataset was made");
  H5D_fill_value_t status = H5D_FILL_VALUE_ERROR;
  check(H5Pfill_value_defined(creation.get(), &status), "read", "a fill value");
  if (status != H5D_FILL_VALUE_USER_DEFINED) {
    return std::nullopt;
  }
  double value = 0;
  check(H5Pget_fill_value(creation.get(), H5T_NATIVE_DOUBLE, &value), "read", "a fill value");
  return value;
}

bool same_type(hid_t a, hid_t b) { return check(H5Tequal(a, b), "compare", "types") > 0; }

std::vector<std::string> attribute_names(hid_t object) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* into) -> herr_t {
    static_cast<std::vector<std::string>*>(into)->emplace_back(name);
    return 0;
  };
  hsize_t at = 0;
  check(H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &at, add, &names), "read", "attributes");
  return names;
}

Id type_of(hid_t dataset) { return own(H5Dget_type(dataset), H5Tclose, "read", "a dataset's type"); }
Id attribute_type(hid_t attribute) { return own(H5Aget_type(attribute), H5Tclose, "read", "an attribute's type"); }
H5T_str_t padding_of(hid_t string_type) { return check(H5Tget_strpad(string_type), "read", "a string's padding"); }

bool is_hard_link(hid_t at, const std::string& path) {
  if (path == "/") {
    return true;
  }
  H5L_info_t info{};
  return check(H5Lexists(at, path.c_str(), H5P_DEFAULT), "look for", path) > 0 &&
         H5Lget_info(at, path.c_str(), &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_HARD;
}

std::vector<std::string> link_names(hid_t group, const std::string& path) {
  H5G_info_t info{};
  check(H5Gget_info(group, &info), "read", path);
  const Id creation = own(H5Gget_create_plist(group), H5Pclose, "read", "how a group was made");
  unsigned order = 0;
  check(H5Pget_link_creation_order(creation.get(), &order), "read", "creation order");
  const H5_index_t index = (order & H5P_CRT_ORDER_INDEXED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
  std::vector<std::string> names;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    const auto length =
        check(H5Lget_name_by_idx(group, ".", index, H5_ITER_INC, i, nullptr, 0, H5P_DEFAULT), "read a name in", path);
    std::string name(static_cast<size_t>(length), '\0');
    check(H5Lget_name_by_idx(group, ".", index, H5_ITER_INC, i, name.data(), name.size() + 1, H5P_DEFAULT),
          "read a name in", path);
    names.push_back(std::move(name));
  }
  return names;
}

void set_scale(hid_t dataset, const std::string& name) {
  check(H5DSset_scale(dataset, name.c_str()), "make a dimension scale of", name);
}

void attach_scale(hid_t dataset, hid_t scale, size_t axis, const std::string& path) {
  check(H5DSattach_scale(dataset, scale, static_cast<unsigned>(axis)), "attach a dimension scale to", path);
}

namespace {

bool same_object(hid_t a, hid_t b) {
#if H5_VERSION_GE(1, 12, 0)
  H5O_info2_t first{}, second{};
  int order = 1;
  return H5Oget_info3(a, &first, H5O_INFO_BASIC) >= 0 && H5Oget_info3(b, &second, H5O_INFO_BASIC) >= 0 &&
         H5Otoken_cmp(a, &first.token, &second.token, &order) >= 0 && order == 0;
#else
  H5O_info_t first{}, second{};
  return H5Oget_info2(a, &first, H5O_INFO_BASIC) >= 0 && H5Oget_info2(b, &second, H5O_INFO_BASIC) >= 0 &&
         first.addr == second.addr;
#endif
}

}  // namespace

bool is_scale(hid_t dataset) { return check(H5DSis_scale(dataset), "look at", "a dimension scale") > 0; }

int scales_on(hid_t dataset, size_t axis) {
  return check(H5DSget_num_scales(dataset, static_cast<unsigned>(axis)), "count", "dimension scales");
}

bool is_only_scale(hid_t dataset, hid_t scale, size_t axis) {
  const auto compare = [](hid_t, unsigned, hid_t found, void* wanted) -> herr_t {
    return same_object(found, *static_cast<hid_t*>(wanted)) ? 1 : 0;
  };
  int first = 0;
  return scales_on(dataset, axis) == 1 &&
         check(H5DSiterate_scales(dataset, static_cast<unsigned>(axis), &first, compare, &scale), "look at",
               "a dimension scale") > 0;
}

Id find_attribute(hid_t at, const char* name) {
  if (check(H5Aexists(at, name), "look for attribute", name) == 0) {
    return {};
  }
  return own(H5Aopen(at, name, H5P_DEFAULT), H5Aclose, "open attribute", name);
}

void read_attribute(hid_t attribute, hid_t memory_type, void* value, const char* name) {
  check(H5Aread(attribute, memory_type, value), "read attribute", name);
}

void write_attribute(hid_t at, const char* name, hid_t type, hid_t space, hid_t memory_type, const void* value) {
  const Id attribute =
      own(H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "create attribute", name);
  check(H5Awrite(attribute.get(), memory_type, value), "write attribute", name);
}

void write_attribute(hid_t at, const char* name, std::string_view value) {
  const Id type = string_type(value.size());
  const std::string padded = value.empty() ? std::string(1, '\0') : std::string(value);
  write_attribute(at, name, type.get(), scalar_space().get(), type.get(), padded.data());
}

void write_attribute(hid_t at, const char* name, int64_t value) {
  write_attribute(at, name, H5T_STD_I64LE, scalar_space().get(), H5T_NATIVE_INT64, &value);
}

void write_attribute(hid_t at, const char* name, const std::vector<int64_t>& values) {
  const Dims dims{values.size()};
  write_attribute(at, name, H5T_STD_I64LE, simple_space(dims, dims).get(), H5T_NATIVE_INT64, values.data());
}

}  // namespace dynascope::h5
