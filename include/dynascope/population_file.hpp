// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/option.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/run_file.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope {

/// One network at one epoch, on its way to a population file.
struct Member {
  int64_t net = 0;                    ///< number of the network, from 0
  int64_t epoch = 0;                  ///< epochs done; 0 = before training
  int64_t step = 0;                   ///< optimizer steps done
  int64_t seed = 0;                   ///< what the network's random choices began with
  std::vector<double> scalars;        ///< in the order of RunDescription::scalars
  const std::byte* values = nullptr;  ///< RowLayout::bytes() bytes, laid out as the RowLayout says
};

/// How a population file is written.
class DYNASCOPE_RUNFILE_API PopulationOptions {
 public:
  /// Replaces an existing file; without it, and without `resume`, one is an error.
  DYNASCOPE_OPTION(bool, overwrite) = false;

  /// Goes on with an existing file, of which all members are kept; where there is none, a new one is begun.
  DYNASCOPE_OPTION(bool, resume) = false;

  /// When written data is forced to the disk: never, at each flush (Fsync::kEpoch), or at close.
  DYNASCOPE_OPTION(Fsync, fsync) = Fsync::kNever;
};

/// Writes the population file of docs/population-file.md: thousands of networks of one shape, each at several epochs.
///
/// It is a run file (Hdf5Sink) whose rows are members: created whole, then only appended to, with the same commit rule,
/// the same readers while it grows, and the same behaviour when the process is killed or the disk fails. Members may
/// come in any order and in blocks of any size; no (net, epoch) comes twice. Not thread-safe.
class DYNASCOPE_RUNFILE_API PopulationWriter {
 public:
  /// Remembers where to write; touches nothing yet.
  explicit PopulationWriter(std::string path, PopulationOptions options = {});
  ~PopulationWriter();
  PopulationWriter(const PopulationWriter&) = delete;
  PopulationWriter& operator=(const PopulationWriter&) = delete;

  /// Creates the file, or with `resume` copies what is there into a new one, which then takes its place in one step.
  ///
  /// @param description  what all members have in common. Histograms are those of every member (Histogram::kEveryRow)
  /// on
  ///                     the edges given here, or off; parameters are not recorded
  /// @throws Error when the file exists (without overwrite and resume), cannot be created, or the description's parts
  /// do not fit together; with `resume` when another process writes it, or when it is of other networks, definitions or
  /// another schema (names the first difference)
  void open(const RunDescription& description);

  /// Whether the file has this member: from before (`resume`), or written since.
  bool has(int64_t net, int64_t epoch) const;

  /// Appends members; readers see them after the next flush.
  /// @throws Error on a failed write, a member that is there already, and in every call after an error
  void write(const std::vector<Member>& members);

  /// Data, H5Fflush, `/committed`, H5Fflush: what was written before survives a kill.
  /// @throws Error on a failed write (a full disk shows here)
  void flush();

  /// Flushes and closes; afterwards any HDF5 tool opens the file. Without it the destructor closes the file without
  /// committing what came after the last flush.
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Which networks at which epochs a population file holds; each vector has one entry per member.
struct MemberIndex {
  std::vector<int64_t> net;
  std::vector<int64_t> epoch;
  std::vector<int64_t> step;
  std::vector<int64_t> seed;
};

/// Reads a population file, finished, still growing, or left behind by a killed process. Needs no LibTorch.
///
/// Only committed members are visible; nothing the file says is trusted (as RunFile). Memory is what is asked for: a
/// member takes `RowLayout(description()).bytes()` bytes in the file.
class DYNASCOPE_RUNFILE_API PopulationFile {
 public:
  /// @throws Error when it is no population file, or one of a newer major schema version
  explicit PopulationFile(const std::string& path);
  ~PopulationFile();
  PopulationFile(PopulationFile&&) noexcept;
  PopulationFile& operator=(PopulationFile&&) noexcept;

  /// Layers, connections, options, edges of the histograms.
  const RunDescription& description() const noexcept;
  const RunProvenance& provenance() const noexcept;

  /// Members visible now.
  int64_t members() const noexcept;

  /// Looks for members committed since; true when there are more than before.
  bool refresh();

  /// True when the file was left open: a writer still has it, or died.
  bool in_progress() const noexcept;

  /// True while the process that writes it lives (RunFile::has_writer).
  bool has_writer() const;

  /// Networks, epochs, steps and seeds of all visible members.
  MemberIndex index() const;

  /// One scalar of every member, such as "accuracy".
  /// @throws Error when the file has no such scalar (names those it has)
  std::vector<double> scalar(std::string_view key) const;

  /// Members `first` to `first + count - 1` of any per-member dataset, as doubles, row-major (count, shape...).
  /// @param path  for example "/nodes/fluctuation", or node_layer_path(...) + "/strength"
  /// @throws Error when there is no such dataset, or a member is not committed
  std::vector<double> read(std::string_view path, int64_t first, int64_t count) const;

  /// Position of a node layer by name.
  /// @throws Error when there is none (names the layers that exist)
  size_t node_layer(std::string_view name) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// What kind of file `path` is, by its attribute `schema`: "dynascope-run", "dynascope-population", or what it says.
/// @throws Error when it is no HDF5 file, or has no such attribute
DYNASCOPE_RUNFILE_API std::string schema_of(const std::string& path);

}  // namespace dynascope
