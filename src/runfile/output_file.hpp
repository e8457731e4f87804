// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "hdf5_handles.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>

namespace dynascope::h5 {

/// A new HDF5 file whose disk may fill up, fail or stall without harm to the process that writes it.
///
/// HDF5 1.10 does not survive a failed write: every later close fails too, and the library crashes when the process
/// exits. So it is given a file driver that never tells it. From the first failed write on, nothing more reaches the
/// disk (what was there stays readable up to /committed), HDF5 goes on against memory until it has closed in peace, and
/// `flush` and `check` throw what happened. Redirecting the descriptor after the error would come too late (HDF5's
/// cache is inconsistent by then); leaking the file would still crash at exit.
///
/// Nor does HDF5 wait for the disk once readers are in: what it writes is kept in order, and `flush` writes it after
/// HDF5 has returned. A disk that stalls then holds up only the thread that flushes, not whoever wants HDF5's global
/// lock: the user's own HDF5 work, and HDF5 itself when the process exits. A thread for writing would do the same and
/// cost a hand-over per write.
///
/// A child of fork() has no part in the file: its descriptor cannot write there.
class OutputFile {
 public:
  /// Creates `path`, which must not exist, in the format that 1.10 reads whatever the HDF5 release.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  hid_t get() const noexcept { return file_.get(); }

  /// Lets SWMR readers in, and tells them as long as this process lives that somebody writes (see
  /// InputFile::has_writer). Every other identifier of the file must be closed.
  void start_swmr();

  /// Hands everything to the operating system. @throws Error when a write failed, now or earlier
  void flush();

  /// Its file has another name from now on, for messages.
  void renamed(const std::string& path);

  /// Forces what was flushed to the disk.
  void sync();

  /// @throws Error when a write failed
  void check() const;

  /// @throws Error when a write failed; the file is closed all the same
  void close();

  /// Bytes on the disk. May be asked from any thread.
  int64_t size() const noexcept { return state_.size.load(std::memory_order_relaxed); }

  /// One write, or where `bytes` is empty a new length, in the order in which HDF5 asked for it.
  struct Change {
    haddr_t address;  ///< or the length
    std::vector<char> bytes;
    bool raw;  ///< rows; otherwise metadata
  };

  /// What the driver knows of the file; outlives HDF5's own handle.
  struct State {
    std::string path;
    int descriptor = -1;
    const pid_t process = ::getpid();
    std::atomic<int64_t> size{0};
    std::atomic<bool> failed{false};
    bool delayed = false;  ///< changes wait in `pending` until the next flush

    mutable std::mutex mutex;  ///< guards what follows; not held while the disk is waited for
    std::string error;         ///< empty until a write fails
    std::vector<Change> pending;
    size_t pending_bytes = 0;
    std::vector<Change> under_way;  ///< being written by a thread that may be stuck
    std::vector<Change> unwritten;  ///< metadata that did not reach the disk; HDF5 may want to see it again
  };

 private:
  State state_;
  Id driver_;
  Id file_;
};

}  // namespace dynascope::h5
