// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/option.hpp>
#include <dynascope/sink.hpp>

#include <memory>
#include <string>

namespace dynascope {

/// When written data is forced to the disk itself: never (survives a killed process), at each flush, or at close.
enum class Fsync { kNever, kEpoch, kClose };

/// How a run file is written.
class DYNASCOPE_RUNFILE_API Hdf5Options {
 public:
  DYNASCOPE_OPTION(bool, overwrite) = false;
  DYNASCOPE_OPTION(Fsync, fsync) = Fsync::kNever;
};

/// Writes the run file of docs/run-file.md: one HDF5 file, single writer, many readers while it grows.
///
/// The file is created whole in `open`; afterwards rows and events are only appended. After each flush a reader sees
/// exactly `/committed` rows. A process killed between two flushes leaves a file that SWMR readers open as it is.
class DYNASCOPE_RUNFILE_API Hdf5Sink final : public Sink {
 public:
  /// Remembers where to write; touches nothing yet.
  explicit Hdf5Sink(std::string path, Hdf5Options options = {});
  ~Hdf5Sink() override;
  Hdf5Sink(const Hdf5Sink&) = delete;
  Hdf5Sink& operator=(const Hdf5Sink&) = delete;

  /// Creates the file with every object in it and switches it to single-writer-multiple-readers.
  /// @throws Error when the file exists and `overwrite` is false, or cannot be created (carries HDF5's own words)
  void open(const RunDescription& description, const RowLayout& layout) override;

  /// Appends rows; readers see them after the next flush.
  /// @throws Error on a failed write
  void write(const std::vector<Row>& rows) override;
  void write(const Event& event) override;

  /// Data, H5Fflush, `/committed`, H5Fflush.
  /// @throws Error on a failed write (a full disk shows here)
  void flush() override;
  void close() override;
  bool has_own_thread() const override;
  int64_t bytes_written() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dynascope
