// SPDX-License-Identifier: BSD-3-Clause
// Preloaded into a program that writes run files (LD_PRELOAD): makes the system calls on one file fail, stall or be
// recorded, as the environment says.
//
//   FAULT_PATH       the file: what its path ends with
//   FAULT_CALL       pwrite, ftruncate, fsync or flock: which call fails
//   FAULT_AT         from 1: which of those calls fails
//   FAULT_FOR_EVER   set: and all that follow
//   FAULT_ERRNO      with which error (default: 28, no space left on device)
//   FAULT_SHORT      set: a pwrite does half of its work instead of failing
//   FAULT_STALL      a path: pwrite waits as long as there is such a file
//   FAULT_TRACE      a path: every write, new length and fsync is appended there (replay.cpp reads it)
//   FAULT_UNSAFE     set: HDF5 says that it is not thread-safe
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls = 0;

static int is_ours(int descriptor) {
  const char* wanted = getenv("FAULT_PATH");
  if (wanted == NULL) {
    return 0;
  }
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  const size_t tail = strlen(wanted);
  return length >= (ssize_t)tail && memcmp(path + length - tail, wanted, tail) == 0;
}

// 0, or the error with which this call is to fail.
static int fault(int descriptor, const char* call) {
  const char* which = getenv("FAULT_CALL");
  if (which == NULL || strcmp(which, call) != 0 || !is_ours(descriptor)) {
    return 0;
  }
  pthread_mutex_lock(&lock);
  const long number = ++calls;
  pthread_mutex_unlock(&lock);
  const long at = atol(getenv("FAULT_AT"));
  if (number != at && !(number > at && getenv("FAULT_FOR_EVER") != NULL)) {
    return 0;
  }
  const char* error = getenv("FAULT_ERRNO");
  return error != NULL ? atoi(error) : ENOSPC;
}

struct entry {
  int64_t kind, at, size;
};

static void record(char kind, int64_t at, const void* bytes, int64_t size) {
  const char* path = getenv("FAULT_TRACE");
  if (path == NULL) {
    return;
  }
  pthread_mutex_lock(&lock);
  FILE* trace = fopen(path, "ab");
  const struct entry entry = {kind, at, size};
  fwrite(&entry, sizeof entry, 1, trace);
  if (bytes != NULL) {
    fwrite(bytes, 1, (size_t)size, trace);
  }
  fclose(trace);
  pthread_mutex_unlock(&lock);
}

ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off64_t at) {
  static ssize_t (*real)(int, const void*, size_t, off64_t);
  if (real == NULL) {
    *(void**)&real = dlsym(RTLD_NEXT, "pwrite64");
  }
  const char* stall = getenv("FAULT_STALL");
  while (stall != NULL && is_ours(descriptor) && access(stall, F_OK) == 0) {
    usleep(10000);
  }
  const int error = fault(descriptor, "pwrite");
  if (error != 0 && getenv("FAULT_SHORT") == NULL) {
    errno = error;
    return -1;
  }
  if (error != 0) {
    size = (size + 1) / 2;
  }
  if (is_ours(descriptor)) {
    record('w', at, bytes, (int64_t)size);
  }
  return real(descriptor, bytes, size, at);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t at) {
  return pwrite64(descriptor, bytes, size, at);
}

int ftruncate64(int descriptor, off64_t length) {
  static int (*real)(int, off64_t);
  if (real == NULL) {
    *(void**)&real = dlsym(RTLD_NEXT, "ftruncate64");
  }
  if (descriptor == -2) {  // writer.cpp's mark
    record('m', length, NULL, 0);
    return 0;
  }
  const int error = fault(descriptor, "ftruncate");
  if (error != 0) {
    errno = error;
    return -1;
  }
  if (is_ours(descriptor)) {
    record('t', length, NULL, 0);
  }
  return real(descriptor, length);
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

int fsync(int descriptor) {
  static int (*real)(int);
  if (real == NULL) {
    *(void**)&real = dlsym(RTLD_NEXT, "fsync");
  }
  const int error = fault(descriptor, "fsync");
  if (error != 0) {
    errno = error;
    return -1;
  }
  if (is_ours(descriptor)) {
    record('s', 0, NULL, 0);
  }
  return real(descriptor);
}

int flock(int descriptor, int how) {
  static int (*real)(int, int);
  if (real == NULL) {
    *(void**)&real = dlsym(RTLD_NEXT, "flock");
  }
  const int error = fault(descriptor, "flock");
  if (error != 0) {
    errno = error;
    return -1;
  }
  return real(descriptor, how);
}

int H5is_library_threadsafe(_Bool* safe) {
  static int (*real)(_Bool*);
  if (real == NULL) {
    *(void**)&real = dlsym(RTLD_NEXT, "H5is_library_threadsafe");
  }
  if (getenv("FAULT_UNSAFE") != NULL) {
    *safe = 0;
    return 0;
  }
  return real(safe);
}
