// SPDX-License-Identifier: BSD-3-Clause
#include "output_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <memory>
#include <sys/file.h>
#include <unistd.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

namespace dynascope::h5 {
namespace {

using State = OutputFile::State;

// What HDF5 sees of an open file; it only knows the first member.
struct Driver {
  H5FD_t hdf5;
  State* state;
  haddr_t end_of_allocation;
  haddr_t end_of_file;
};

Driver& of(H5FD_t* file) { return *reinterpret_cast<Driver*>(file); }
const Driver& of(const H5FD_t* file) { return *reinterpret_cast<const Driver*>(file); }

herr_t refuse(hid_t minor, const char* what, int reason) {
  H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_FILE, minor, "%s: %s", what,
           std::strerror(reason));
  return -1;
}

void fail(State& state, const char* doing, int reason) {
  if (state.error.empty()) {
    state.error = std::string("cannot ") + doing + " " + state.path + ": " + std::strerror(reason);
  }
}

H5FD_t* open_file(const char* name, unsigned, hid_t access, haddr_t) {
  auto* state = *static_cast<State* const*>(H5Pget_driver_info(access));
  state->descriptor = ::open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (state->descriptor < 0) {
    refuse(H5E_CANTOPENFILE, name, errno);
    return nullptr;
  }
  return &std::make_unique<Driver>(Driver{{}, state, 0, 0}).release()->hdf5;
}

herr_t close_file(H5FD_t* file) {
  const std::unique_ptr<Driver> driver(&of(file));
  if (::close(std::exchange(driver->state->descriptor, -1)) != 0) {
    fail(*driver->state, "close", errno);
  }
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_POSIX_COMPAT_HANDLE | H5FD_FEAT_SUPPORTS_SWMR_IO |
           H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t) { return of(file).end_of_allocation; }
haddr_t get_eof(const H5FD_t* file, H5FD_mem_t) { return of(file).end_of_file; }

herr_t set_eoa(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  of(file).end_of_allocation = address;
  return 0;
}

herr_t get_handle(H5FD_t* file, hid_t, void** handle) {
  *handle = &of(file).state->descriptor;
  return 0;
}

// Lays over `buffer`, which stands for `size` bytes from `address`, what did not reach the disk.
void overlay(const State& state, haddr_t address, size_t size, char* buffer) {
  for (const auto& [start, bytes] : state.unwritten) {
    const haddr_t first = std::max(start, address);
    const haddr_t last = std::min(start + bytes.size(), address + size);
    if (first < last) {
      std::memcpy(buffer + (first - address), bytes.data() + (first - start), last - first);
    }
  }
}

herr_t read_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* buffer) {
  auto* bytes = static_cast<char*>(buffer);
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        ::pread(of(file).state->descriptor, bytes + done, size - done, static_cast<off_t>(address + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return refuse(H5E_CANTOPENFILE, "read", errno);
    }
    if (got == 0) {
      // HDF5 reads what it has allocated and not written yet.
      std::memset(bytes + done, 0, size - done);
      break;
    }
    done += static_cast<size_t>(got);
  }
  overlay(*of(file).state, address, size, bytes);
  return 0;
}

// 0, or the reason why not all of it could be written.
int write_all(int descriptor, haddr_t address, size_t size, const char* bytes) {
  size_t done = 0;
  while (done < size) {
    const ssize_t put = ::pwrite(descriptor, bytes + done, size - done, static_cast<off_t>(address + done));
    if (put < 0 && errno != EINTR) {
      return errno;
    }
    done += static_cast<size_t>(std::max<ssize_t>(put, 0));
  }
  return 0;
}

herr_t write_file(H5FD_t* file, H5FD_mem_t kind, hid_t, haddr_t address, size_t size, const void* buffer) {
  State& state = *of(file).state;
  const auto* bytes = static_cast<const char*>(buffer);
  if (state.error.empty()) {
    if (const int reason = write_all(state.descriptor, address, size, bytes); reason != 0) {
      fail(state, "write", reason);
    }
  }
  if (state.error.empty()) {
    state.size = std::max(state.size, static_cast<int64_t>(address + size));
  } else if (kind != H5FD_MEM_DRAW) {
    state.unwritten.emplace_back(address, std::vector<char>(bytes, bytes + size));
  }
  of(file).end_of_file = std::max(of(file).end_of_file, address + size);
  return 0;
}

herr_t truncate_file(H5FD_t* file, hid_t, hbool_t) {
  Driver& driver = of(file);
  State& state = *driver.state;
  if (driver.end_of_file != driver.end_of_allocation && state.error.empty()) {
    if (::ftruncate(state.descriptor, static_cast<off_t>(driver.end_of_allocation)) == 0) {
      state.size = static_cast<int64_t>(driver.end_of_allocation);
    } else {
      fail(state, "set the length of", errno);
    }
  }
  driver.end_of_file = driver.end_of_allocation;
  return 0;
}

herr_t lock_file(H5FD_t* file, hbool_t exclusive) {
  const int how = (exclusive != 0 ? LOCK_EX : LOCK_SH) | LOCK_NB;
  if (::flock(of(file).state->descriptor, how) != 0 && errno != ENOSYS) {
    return refuse(H5E_CANTLOCKFILE, "lock", errno);
  }
  return 0;
}

herr_t unlock_file(H5FD_t* file) {
  if (::flock(of(file).state->descriptor, LOCK_UN) != 0 && errno != ENOSYS) {
    return refuse(H5E_CANTUNLOCKFILE, "unlock", errno);
  }
  return 0;
}

H5FD_class_t driver_class() {
  H5FD_class_t driver{};
#if H5_VERSION_GE(1, 13, 0)
  driver.version = H5FD_CLASS_VERSION;
  driver.value = H5_VFD_RESERVED + 1;
#endif
  driver.name = "dynascope";
  driver.maxaddr = static_cast<haddr_t>(std::numeric_limits<off_t>::max());
  driver.fc_degree = H5F_CLOSE_WEAK;
  driver.fapl_size = sizeof(State*);
  driver.open = open_file;
  driver.close = close_file;
  driver.query = query;
  driver.get_eoa = get_eoa;
  driver.set_eoa = set_eoa;
  driver.get_eof = get_eof;
  driver.get_handle = get_handle;
  driver.read = read_file;
  driver.write = write_file;
  driver.truncate = truncate_file;
  driver.lock = lock_file;
  driver.unlock = unlock_file;
  constexpr H5FD_mem_t kFreeLists[] = H5FD_FLMAP_DICHOTOMY;
  std::copy(std::begin(kFreeLists), std::end(kFreeLists), std::begin(driver.fl_map));
  return driver;
}

}  // namespace

OutputFile::OutputFile(const std::string& path) {
  state_.path = path;
  driver_ = register_driver(driver_class());
  State* state = &state_;
  file_ = create_file(path, driver_.get(), &state);
}

OutputFile::~OutputFile() { file_ = Id(); }

void OutputFile::start_swmr() {
  start_swmr_write(file_.get());
  check();
}

void OutputFile::flush() {
  h5::flush(file_.get());
  check();
}

void OutputFile::sync() {
  if (::fsync(state_.descriptor) != 0) {
    fail(state_, "fsync", errno);
  }
  check();
}

void OutputFile::check() const {
  if (!state_.error.empty()) {
    throw Error(state_.error);
  }
}

void OutputFile::close() {
  file_.close(state_.path);
  check();
}

}  // namespace dynascope::h5
