// SPDX-License-Identifier: BSD-3-Clause
#include "append.hpp"
#include "create.hpp"
#include "difference.hpp"
#include "hdf5_handles.hpp"
#include "in_file.hpp"
#include "input_file.hpp"
#include "output_file.hpp"
#include "provenance.hpp"
#include "read_description.hpp"
#include "row_reader.hpp"
#include "schema.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

namespace dynascope {

namespace fs = std::filesystem;

class Hdf5Sink::Impl {
 public:
  Impl(std::string path, Hdf5Options options) : path_(std::move(path)), options_(options) {}

  ~Impl() { abandon(); }

  void open(const RunDescription& description, const RowLayout& layout) {
    if (opened_) {
      throw Error("an Hdf5Sink writes one run, and " + path_ + " was opened already; make another sink");
    }
    const h5::Silence silence;
    if (options_.resume() >= 0) {
      in_file(path_, [&] { resume(description, layout); });
    } else {
      schema::check(description, "cannot write " + path_);
      path_ = make_room(path_, options_.overwrite());
      create(path_, description, layout, provenance::of_this_process(), [] {});
    }
  }

  void write(const std::vector<Row>& rows) {
    guarded([&] {
      appender_->append(rows);
      file_->check();
    });
  }

  void write(const Event& event) {
    guarded([&] { events_.push_back(event); });
  }

  void flush() {
    guarded([&] {
      if (appender_->rows() == committed_ && events_.empty()) {
        return;
      }
      appender_->append(events_);
      settle();
      appender_->commit();
      appender_->append_codes(events_);
      settle();
      committed_ = appender_->rows();
      events_.clear();
    });
  }

  void close() {
    if (!file_) {
      return;
    }
    if (!failed_) {
      flush();
    }
    const h5::Silence silence;
    appender_.reset();
    if (failed_) {
      file_.reset();
      return;
    }
    failed_ = true;
    file_->close();
    if (options_.fsync() != Fsync::kNever) {
      sync_to_disk(path_);
    }
    bytes_ = file_->size();
    failed_ = false;
    file_.reset();
  }

  int64_t bytes_written() const { return bytes_; }

 private:
  // The file at `path` with every object in it, readers let in; `fill` may write to it. Leaves none behind when it
  // fails.
  template <class Fill>
  void create(const std::string& path, const RunDescription& description, const RowLayout& layout,
              const RunProvenance& provenance, Fill fill) {
    file_.emplace(path);
    opened_ = true;
    try {
      create_run(file_->get(), description, layout, provenance);
      file_->flush();
      file_->start_swmr();
      appender_.emplace(file_->get(), description, layout);
      settle();
      fill();
    } catch (...) {
      abandon();
      std::error_code ignored;
      fs::remove(path, ignored);
      throw;
    }
  }

  void resume(const RunDescription& now, const RowLayout& layout) {
    const h5::InputFile old(path_);
    const RunProvenance provenance = read_provenance(old);
    if (old.marked_open() && old.has_writer()) {
      old.refuse("another process still writes this run, so it cannot be resumed; end that one first");
    }
    if (provenance.schema_version != schema::kVersion ||
        provenance.definitions_version != schema::kDefinitionsVersion) {
      old.refuse("it follows schema " + provenance.schema_version + " and definitions " +
                 provenance.definitions_version + ", this program " + schema::kVersion + " and " +
                 schema::kDefinitionsVersion + ", so the run cannot be resumed; begin a new one");
    }
    const RunDescription description = read_description(old);
    if (const std::string difference = first_difference(description, now); !difference.empty()) {
      old.refuse("the run cannot be resumed, as it is another one: " + difference);
    }
    path_ = fs::canonical(path_).string();
    const std::string part = make_room(path_ + ".resumed", true);
    const std::string what = "resumed at step " + std::to_string(options_.resume());
    create(part, description, layout, provenance::continued(provenance, what), [&] {
      copy_rows(old, description, layout);
      file_->sync();
      if (std::rename(part.c_str(), path_.c_str()) != 0) {
        throw Error("cannot replace " + path_ + " by the resumed " + part + ": " + std::strerror(errno));
      }
      file_->renamed(path_);
    });
  }

  bool kept(const Row& row) const {
    const bool later = options_.resume_epochs() >= 0 && row.epoch_end && row.epoch > options_.resume_epochs();
    return row.step < options_.resume() || (row.step == options_.resume() && !later);
  }

  void copy_rows(const h5::InputFile& old, const RunDescription& description, const RowLayout& layout) {
    const uint64_t committed = committed_rows(old);
    RowReader reader(old, description, layout);
    for (uint64_t first = 0, count = 0; first < committed; first += count) {
      count = std::min(reader.rows_at_once(), committed - first);
      std::vector<Row> rows = reader.rows(first, count);
      rows.erase(std::find_if_not(rows.begin(), rows.end(), [&](const Row& row) { return kept(row); }), rows.end());
      appender_->append(rows);
      file_->check();
      if (rows.size() < count) {
        break;
      }
    }
    for (const Event& event : read_events(old)) {
      if (event.step <= options_.resume()) {
        events_.push_back(event);
      }
    }
    flush();
  }

  // After a failure the file stays as it is: what is committed is whole, and anything more would be a guess.
  template <class Work>
  void guarded(Work work) {
    if (!appender_) {
      throw Error("the run file " + path_ + " is not open");
    }
    if (failed_) {
      throw Error("the run file " + path_ + " takes nothing more after an earlier error");
    }
    const h5::Silence silence;
    failed_ = true;
    work();
    failed_ = false;
  }

  void settle() {
    file_->flush();
    if (options_.fsync() == Fsync::kEpoch) {
      file_->sync();
    }
    bytes_ = file_->size();
  }

  void abandon() {
    const h5::Silence silence;
    appender_.reset();
    file_.reset();
  }

  std::string path_;
  Hdf5Options options_;
  std::optional<h5::OutputFile> file_;
  std::optional<Appender> appender_;
  std::vector<Event> events_;
  uint64_t committed_ = 0;
  std::atomic<int64_t> bytes_{0};
  bool opened_ = false;
  bool failed_ = false;
};

Hdf5Sink::Hdf5Sink(std::string path, Hdf5Options options) : impl_(std::make_unique<Impl>(std::move(path), options)) {}
Hdf5Sink::~Hdf5Sink() = default;

void Hdf5Sink::open(const RunDescription& description, const RowLayout& layout) { impl_->open(description, layout); }
void Hdf5Sink::write(const std::vector<Row>& rows) { impl_->write(rows); }
void Hdf5Sink::write(const Event& event) { impl_->write(event); }
void Hdf5Sink::flush() { impl_->flush(); }
void Hdf5Sink::close() { impl_->close(); }
int64_t Hdf5Sink::bytes_written() const { return impl_->bytes_written(); }

bool Hdf5Sink::has_own_thread() const {
  hbool_t safe = 0;
  return H5is_library_threadsafe(&safe) >= 0 && safe != 0;
}

}  // namespace dynascope
