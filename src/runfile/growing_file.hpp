// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "append.hpp"
#include "input_file.hpp"
#include "output_file.hpp"

#include <dynascope/hdf5_sink.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/run_file.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace dynascope {

/// A file that grows by rows of type R (Row or Member) while others read it: what Hdf5Sink and PopulationWriter have in
/// common. Their headers tell what each step promises.
template <class R>
class GrowingFile {
 public:
  /// What of an existing file is kept: rows until the first that is not, and the events that are.
  struct Kept {
    std::function<bool(const R&)> row;
    std::function<bool(const Event&)> event;
  };
  enum class Created { kInPlace, kInOneStep };  ///< in one step: under another name until it can be read

  GrowingFile(std::string path, Fsync fsync) : path_(std::move(path)), fsync_(fsync) {}
  ~GrowingFile() { abandon(); }
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  void create(const RunDescription& description, const RowLayout& layout, bool overwrite, Created how);
  /// @param what  for the line in `history`: "resumed at step 5"
  void resume(const RunDescription& now, const RowLayout& layout, const std::string& what, const Kept& kept);

  void write(const std::vector<R>& rows);
  void write(const Event& event);
  void flush();
  void close();

  const std::string& path() const noexcept { return path_; }
  int64_t size() const noexcept { return bytes_; }

 private:
  template <class Fill>
  void create_at(const std::string& path, const RunDescription& description, const RowLayout& layout,
                 const RunProvenance& provenance, Fill fill);
  void copy(const h5::InputFile& old, const RunDescription& description, const RowLayout& layout, const Kept& kept);
  void replace_by(const std::string& part);
  template <class Work>
  void guarded(Work work);
  void settle();
  void abandon();
  void check_unopened() const;

  std::string path_;
  Fsync fsync_;
  std::optional<h5::OutputFile> file_;
  std::optional<Appender<R>> appender_;
  std::vector<Event> events_;
  uint64_t committed_ = 0;
  std::atomic<int64_t> bytes_{0};
  bool opened_ = false;
  bool failed_ = false;
};

}  // namespace dynascope
