// SPDX-License-Identifier: BSD-3-Clause
#include "input_driver.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <memory>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

namespace dynascope::h5 {
namespace {

// What HDF5 sees of an open file; it only knows the first member.
struct Driver {
  H5FD_t hdf5;
  int descriptor;
  haddr_t end_of_allocation;
};

Driver& of(H5FD_t* file) { return *reinterpret_cast<Driver*>(file); }
const Driver& of(const H5FD_t* file) { return *reinterpret_cast<const Driver*>(file); }

herr_t refuse(hid_t minor, const char* what) {
  H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_FILE, minor, "%s", what);
  return -1;
}

H5FD_t* open_file(const char*, unsigned, hid_t access, haddr_t) {
  const int descriptor = ::fcntl(*static_cast<const int*>(H5Pget_driver_info(access)), F_DUPFD_CLOEXEC, 0);
  if (descriptor < 0) {
    refuse(H5E_CANTOPENFILE, std::strerror(errno));
    return nullptr;
  }
  return &std::make_unique<Driver>(Driver{{}, descriptor, 0}).release()->hdf5;
}

herr_t close_file(H5FD_t* file) {
  const std::unique_ptr<Driver> driver(&of(file));
  ::close(driver->descriptor);
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_POSIX_COMPAT_HANDLE |
           H5FD_FEAT_SUPPORTS_SWMR_IO | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t) { return of(file).end_of_allocation; }

herr_t set_eoa(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  of(file).end_of_allocation = address;
  return 0;
}

haddr_t get_eof(const H5FD_t* file, H5FD_mem_t) {
  struct stat status {};
  return ::fstat(of(file).descriptor, &status) == 0 ? static_cast<haddr_t>(status.st_size) : 0;
}

herr_t get_handle(H5FD_t* file, hid_t, void** handle) {
  *handle = &of(file).descriptor;
  return 0;
}

herr_t read_file(H5FD_t* file, H5FD_mem_t kind, hid_t, haddr_t address, size_t size, void* buffer) {
  auto* bytes = static_cast<char*>(buffer);
  size_t done = 0;
  while (done < size) {
    const ssize_t got = ::pread(of(file).descriptor, bytes + done, size - done, static_cast<off_t>(address + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return refuse(H5E_READERROR, std::strerror(errno));
    }
    if (got == 0) {
      // Of metadata HDF5 reads more than there is, and knows what it needs by its checksums.
      if (kind == H5FD_MEM_DRAW) {
        return refuse(H5E_READERROR, "the file ends before its data");
      }
      std::memset(bytes + done, 0, size - done);
      break;
    }
    done += static_cast<size_t>(got);
  }
  return 0;
}

herr_t write_file(H5FD_t*, H5FD_mem_t, hid_t, haddr_t, size_t, const void*) {
  return refuse(H5E_WRITEERROR, "the file is open for reading only");
}

// Fails only where somebody else holds the file: one that is still being created.
herr_t lock_file(H5FD_t* file, hbool_t) {
  if (::flock(of(file).descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return refuse(H5E_CANTLOCKFILE, "another program is creating or changing it");
  }
  return 0;
}

herr_t unlock_file(H5FD_t* file) {
  ::flock(of(file).descriptor, LOCK_UN);
  return 0;
}

H5FD_class_t driver_class() {
  H5FD_class_t driver{};
#if H5_VERSION_GE(1, 13, 0)
  driver.version = H5FD_CLASS_VERSION;
  driver.value = H5_VFD_RESERVED + 2;
#endif
  driver.name = "dynascope_input";
  driver.maxaddr = static_cast<haddr_t>(std::numeric_limits<off_t>::max());
  driver.fc_degree = H5F_CLOSE_WEAK;
  driver.fapl_size = sizeof(int);
  driver.open = open_file;
  driver.close = close_file;
  driver.query = query;
  driver.get_eoa = get_eoa;
  driver.set_eoa = set_eoa;
  driver.get_eof = get_eof;
  driver.get_handle = get_handle;
  driver.read = read_file;
  driver.write = write_file;
  driver.lock = lock_file;
  driver.unlock = unlock_file;
  constexpr H5FD_mem_t kFreeLists[] = H5FD_FLMAP_DICHOTOMY;
  std::copy(std::begin(kFreeLists), std::end(kFreeLists), std::begin(driver.fl_map));
  return driver;
}

}  // namespace

Id register_input_driver() { return register_driver(driver_class()); }

}  // namespace dynascope::h5
