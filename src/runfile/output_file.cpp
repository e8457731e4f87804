// SPDX-License-Identifier: BSD-3-Clause
#include "output_file.hpp"

#include "file_space.hpp"
#include "fork_gate.hpp"
#include "life_mark.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <memory>
#include <sys/file.h>
#include <unistd.h>
#include <utility>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

namespace dynascope::h5 {
namespace {

using Change = OutputFile::Change;
using State = OutputFile::State;

// More than this is not kept in memory: HDF5 then waits for the disk after all.
constexpr size_t kMostPendingBytes = size_t{64} << 20;

// What HDF5 sees of an open file; it only knows the first member.
struct Driver {
  H5FD_t hdf5;
  State* state;
  haddr_t end_of_allocation;
  haddr_t end_of_file;
  FileSpace space;
};

Driver& of(H5FD_t* file) { return *reinterpret_cast<Driver*>(file); }
const Driver& of(const H5FD_t* file) { return *reinterpret_cast<const Driver*>(file); }

herr_t refuse(hid_t minor, const char* what, int reason) {
  H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_FILE, minor, "%s: %s", what,
           std::strerror(reason));
  return -1;
}

void fail(State& state, const char* doing, int reason) {
  const std::lock_guard lock(state.mutex);
  if (state.error.empty()) {
    state.error =
        std::string("cannot ") + doing + " " + state.path + ": " +
        (::getpid() != state.process ? "a forked process has no part in its parent's run" : std::strerror(reason));
  }
  state.failed = true;
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

// Brings `size` bytes, or for none a new length, to the disk, unless something failed before.
void perform(State& state, haddr_t address, size_t size, const char* bytes) {
  if (state.failed) {
    return;
  }
  const auto end = static_cast<int64_t>(address + size);
  if (size == 0) {
    if (::ftruncate(state.descriptor, static_cast<off_t>(address)) != 0) {
      fail(state, "set the length of", errno);
    } else {
      state.size = end;
    }
  } else if (const int reason = write_all(state.descriptor, address, size, bytes); reason != 0) {
    fail(state, "write", reason);
  } else {
    state.size = std::max(state.size.load(), end);
  }
}

// What HDF5 may ask for again although the disk did not take it. Rows are not kept: they may be large, and nobody looks
// at them any more.
void keep(State& state, Change change) {
  if (!change.raw && !change.bytes.empty()) {
    state.unwritten.push_back(std::move(change));
  }
}

void write_pending(State& state) {
  std::unique_lock lock(state.mutex);
  if (!state.under_way.empty()) {
    return;  // a thread is stuck there, and the process ends
  }
  state.under_way.swap(state.pending);
  state.pending_bytes = 0;
  lock.unlock();
  for (const Change& change : state.under_way) {
    perform(state, change.address, change.bytes.size(), change.bytes.data());
  }
  lock.lock();
  if (state.failed) {
    for (Change& change : state.under_way) {
      keep(state, std::move(change));
    }
  }
  state.under_way.clear();
}

void take(State& state, Change change) {
  if (state.delayed && !state.failed) {
    std::unique_lock lock(state.mutex);
    state.pending_bytes += change.bytes.size();
    state.pending.push_back(std::move(change));
    if (state.pending_bytes > kMostPendingBytes) {
      lock.unlock();
      write_pending(state);
    }
  } else {
    perform(state, change.address, change.bytes.size(), change.bytes.data());
    if (state.failed) {
      const std::lock_guard lock(state.mutex);
      keep(state, std::move(change));
    }
  }
}

H5FD_t* open_file(const char* name, unsigned, hid_t access, haddr_t) {
  auto* state = *static_cast<State* const*>(H5Pget_driver_info(access));
  state->descriptor = ::open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (state->descriptor < 0) {
    refuse(H5E_CANTOPENFILE, name, errno);
    return nullptr;
  }
  fork_gate::remember(&state->descriptor, &state->mutex);
  return &std::make_unique<Driver>(Driver{{}, state, 0, 0, {}}).release()->hdf5;
}

herr_t close_file(H5FD_t* file) {
  const std::unique_ptr<Driver> driver(&of(file));
  State& state = *driver->state;
  write_pending(state);
  fork_gate::forget(&state.descriptor);
  const std::lock_guard lock(state.mutex);
  // Under a thread that is stuck in a write the number must not become another file's.
  if (state.under_way.empty() && ::close(std::exchange(state.descriptor, -1)) != 0 && state.error.empty()) {
    state.error = "cannot close " + state.path + ": " + std::strerror(errno);
    state.failed = true;
  }
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_POSIX_COMPAT_HANDLE |
           H5FD_FEAT_SUPPORTS_SWMR_IO | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t) { return of(file).end_of_allocation; }
haddr_t get_eof(const H5FD_t* file, H5FD_mem_t) { return of(file).end_of_file; }

herr_t set_eoa(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  of(file).end_of_allocation = address;
  return 0;
}

haddr_t allocate(H5FD_t* file, H5FD_mem_t kind, hid_t, hsize_t size) {
  const auto what = kind == H5FD_MEM_DRAW ? FileSpace::Holds::kRows : FileSpace::Holds::kMetadata;
  uint64_t end = of(file).end_of_allocation;
  const haddr_t address = of(file).space.allocate(what, size, end);
  of(file).end_of_allocation = end;
  return address;
}

herr_t get_handle(H5FD_t* file, hid_t, void** handle) {
  *handle = &of(file).state->descriptor;
  return 0;
}

// Lays over `buffer`, which stands for `size` bytes from `address`, what is not on the disk.
void overlay(const std::vector<Change>& changes, haddr_t address, size_t size, char* buffer) {
  for (const auto& [start, bytes, raw] : changes) {
    const haddr_t first = std::max(start, address);
    const haddr_t last = std::min(start + bytes.size(), address + size);
    if (first < last) {
      std::memcpy(buffer + (first - address), bytes.data() + (first - start), last - first);
    }
  }
}

herr_t read_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* buffer) {
  State& state = *of(file).state;
  auto* bytes = static_cast<char*>(buffer);
  const std::lock_guard lock(state.mutex);
  size_t done = 0;
  while (done < size) {
    const ssize_t got = ::pread(state.descriptor, bytes + done, size - done, static_cast<off_t>(address + done));
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
  for (const auto* changes : {&state.unwritten, &state.under_way, &state.pending}) {
    overlay(*changes, address, size, bytes);
  }
  return 0;
}

herr_t write_file(H5FD_t* file, H5FD_mem_t kind, hid_t, haddr_t address, size_t size, const void* buffer) {
  if (size == 0) {
    return 0;
  }
  const auto* bytes = static_cast<const char*>(buffer);
  take(*of(file).state, {address, std::vector<char>(bytes, bytes + size), kind == H5FD_MEM_DRAW});
  of(file).end_of_file = std::max(of(file).end_of_file, address + size);
  return 0;
}

herr_t truncate_file(H5FD_t* file, hid_t, hbool_t) {
  Driver& driver = of(file);
  if (driver.end_of_file != driver.end_of_allocation) {
    take(*driver.state, {driver.end_of_allocation, {}, false});
  }
  driver.end_of_file = driver.end_of_allocation;
  return 0;
}

// A file system that knows no locks must not keep anyone from training; that somebody else holds one must.
herr_t lock_file(H5FD_t* file, hbool_t exclusive) {
  const int how = (exclusive != 0 ? LOCK_EX : LOCK_SH) | LOCK_NB;
  if (::flock(of(file).state->descriptor, how) != 0 && errno == EWOULDBLOCK) {
    return refuse(H5E_CANTLOCKFILE, "lock", errno);
  }
  return 0;
}

herr_t unlock_file(H5FD_t* file) {
  ::flock(of(file).state->descriptor, LOCK_UN);
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
  driver.alloc = allocate;
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
  set_life_mark(state_.descriptor);
  state_.delayed = true;
}

void OutputFile::flush() {
  h5::flush(file_.get());
  {
    const fork_gate::Outside waiting;
    write_pending(state_);
  }
  check();
}

void OutputFile::renamed(const std::string& path) {
  const std::lock_guard lock(state_.mutex);
  state_.path = path;
}

void OutputFile::sync() {
  const fork_gate::Outside waiting;
  if (::fsync(state_.descriptor) != 0) {
    fail(state_, "fsync", errno);
  }
  check();
}

void OutputFile::check() const {
  if (state_.failed) {
    const std::lock_guard lock(state_.mutex);
    throw Error(state_.error);
  }
}

void OutputFile::close() {
  file_.close(state_.path);
  check();
}

}  // namespace dynascope::h5
