// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "hdf5_handles.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::h5 {

/// A new HDF5 file whose disk may fill up without harm to the process that writes it.
///
/// HDF5 1.10 does not survive a failed write: every later close fails too, and the library crashes when the process
/// exits. So it is given a file driver that never tells it. From the first failed write on, nothing more reaches the
/// disk (what was there stays readable up to /committed), HDF5 goes on against memory until it has closed in peace, and
/// `flush` and `check` throw what happened. Redirecting the descriptor after the error would come too late (HDF5's
/// cache is inconsistent by then); leaking the file would still crash at exit.
class OutputFile {
 public:
  /// Creates `path`, which must not exist, in the format that 1.10 reads whatever the HDF5 release.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  hid_t get() const noexcept { return file_.get(); }

  /// Lets SWMR readers in. Every other identifier of the file must be closed.
  void start_swmr();

  /// Hands everything to the operating system. @throws Error when a write failed, now or earlier
  void flush();

  /// Forces what was flushed to the disk.
  void sync();

  /// @throws Error when a write failed
  void check() const;

  /// @throws Error when a write failed; the file is closed all the same
  void close();

  /// Bytes on the disk.
  int64_t size() const noexcept { return state_.size; }

  /// What the driver knows of the file; outlives HDF5's own handle.
  struct State {
    std::string path;
    int descriptor = -1;
    int64_t size = 0;
    std::string error;                                             ///< empty until a write fails
    std::vector<std::pair<haddr_t, std::vector<char>>> unwritten;  ///< metadata that HDF5 may want to see again
  };

 private:
  State state_;
  Id driver_;
  Id file_;
};

}  // namespace dynascope::h5
