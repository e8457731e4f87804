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
  /// Replaces an existing file; without it one is an error.
  DYNASCOPE_OPTION(bool, overwrite) = false;

  DYNASCOPE_OPTION(Fsync, fsync) = Fsync::kNever;

  /// Goes on with the run in an existing file, of which rows up to this step are kept; -1: a new run.
  DYNASCOPE_OPTION(int64_t, resume) = -1;

  /// With `resume`: epochs that were closed when that step had been done. Of rows at that very step, one that closes a
  /// later epoch is not kept. -1: keep them all.
  DYNASCOPE_OPTION(int64_t, resume_epochs) = -1;
};

/// Writes the run file of docs/run-file.md: one HDF5 file, single writer, many readers while it grows.
///
/// The file is created whole in `open`; afterwards rows and events are only appended. After each flush a reader sees
/// exactly `/committed` rows, and the events whose code is there. A process killed at any moment leaves a file that
/// SWMR readers open as it is. After the first failed write nothing more reaches the file, which stays readable up to
/// `/committed`; the process goes on and ends as if nothing had happened. Not thread-safe: calls come one at a time,
/// from whichever thread.
class DYNASCOPE_RUNFILE_API Hdf5Sink final : public Sink {
 public:
  /// Remembers where to write; touches nothing yet.
  explicit Hdf5Sink(std::string path, Hdf5Options options = {});
  ~Hdf5Sink() override;
  Hdf5Sink(const Hdf5Sink&) = delete;
  Hdf5Sink& operator=(const Hdf5Sink&) = delete;

  /// With Hdf5Options::resume the rows that are kept are first copied into a new file beside the old one, which is then
  /// replaced in one step: whatever happens meanwhile, one of them is there and whole. Readers that have the old one
  /// open see no more of it.
  ///
  /// Creates the file with every object in it and switches it to single-writer-multiple-readers. With `overwrite` an
  /// existing file is replaced, never emptied: who has it open keeps it. Leaves no file behind when it throws.
  /// @throws Error when the file exists and `overwrite` is false, cannot be created (carries HDF5's own words), or when
  /// the parts of `description` do not fit together; with `resume`, when there is no such file, another process still
  /// writes it, or it is of another network, other definitions or another schema (names the first difference)
  void open(const RunDescription& description, const RowLayout& layout) override;

  /// Appends rows; readers see them after the next flush.
  /// @throws Error on a failed write, a row that is not of this run, and in every call after an error
  void write(const std::vector<Row>& rows) override;

  /// Keeps an event until the next flush. Messages are cut to 256 bytes, between UTF-8 characters.
  void write(const Event& event) override;

  /// Data, H5Fflush, `/committed` and the codes of events, H5Fflush. Returns at once when there is nothing new.
  /// @throws Error on a failed write (a full disk shows here)
  void flush() override;

  /// Flushes and closes; afterwards any HDF5 tool opens the file. After an error it only lets go of the file. Without
  /// it the destructor closes the file without committing what came after the last flush.
  /// @throws Error on a failed write
  void close() override;

  /// Whether the HDF5 library in this process is thread-safe (H5is_library_threadsafe).
  bool has_own_thread() const override;

  /// Length of the file on the disk; may be asked from any thread.
  int64_t bytes_written() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dynascope
