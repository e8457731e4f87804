// SPDX-License-Identifier: BSD-3-Clause
#include "append.hpp"
#include "create.hpp"
#include "hdf5_handles.hpp"
#include "output_file.hpp"
#include "provenance.hpp"
#include "schema.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>

#include <atomic>
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
    schema::check(description, "cannot write " + path_);
    path_ = make_room(path_, options_.overwrite());
    const h5::Silence silence;
    file_.emplace(path_);
    opened_ = true;
    try {
      create_run(file_->get(), description, layout, provenance::of_this_process());
      file_->flush();
      file_->start_swmr();
      appender_.emplace(file_->get(), description, layout);
      settle();
    } catch (...) {
      abandon();
      std::error_code ignored;
      fs::remove(path_, ignored);
      throw;
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
