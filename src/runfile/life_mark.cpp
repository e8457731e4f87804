// SPDX-License-Identifier: BSD-3-Clause
#include "life_mark.hpp"

#include <fcntl.h>
#include <limits>
#include <unistd.h>

namespace dynascope::h5 {
namespace {

struct flock mark(short kind) {
  struct flock lock {};
  lock.l_type = kind;
  lock.l_whence = SEEK_SET;
  lock.l_start = std::numeric_limits<off_t>::max() / 2;
  lock.l_len = 1;
  return lock;
}

}  // namespace

void set_life_mark(int descriptor) {
  struct flock lock = mark(F_RDLCK);
  ::fcntl(descriptor, F_OFD_SETLK, &lock);
}

bool has_life_mark(int descriptor) {
  struct flock lock = mark(F_WRLCK);
  return ::fcntl(descriptor, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

}  // namespace dynascope::h5
