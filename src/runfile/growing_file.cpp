// SPDX-License-Identifier: BSD-3-Clause
#include "growing_file.hpp"

#include "create.hpp"
#include "difference.hpp"
#include "in_file.hpp"
#include "provenance.hpp"
#include "read_description.hpp"
#include "row_reader.hpp"
#include "schema.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace dynascope {

namespace fs = std::filesystem;

template <class R>
void GrowingFile<R>::check_unopened() const {
  if (opened_) {
    throw Error("one object writes one " + std::string(kind_of<R>().whole) + ", and " + path_ +
                " was opened already; make another");
  }
}

template <class R>
void GrowingFile<R>::create(const RunDescription& description, const RowLayout& layout, bool overwrite, Created how) {
  check_unopened();
  const h5::Silence silence;
  schema::check(kind_of<R>(), description, "cannot write " + path_);
  path_ = make_room(path_, overwrite);
  if (how == Created::kInPlace) {
    create_at(path_, description, layout, provenance::of_this_process(kind_of<R>()), [] {});
    return;
  }
  const std::string part = make_room(path_ + ".part", true);
  create_at(part, description, layout, provenance::of_this_process(kind_of<R>()), [&] { replace_by(part); });
}

template <class R>
void GrowingFile<R>::resume(const RunDescription& now, const RowLayout& layout, const std::string& what,
                            const Kept& kept) {
  check_unopened();
  in_file(path_, [&] {
    const FileKind& kind = kind_of<R>();
    const std::string whole = kind.whole;
    const h5::InputFile old(path_);
    const RunProvenance provenance = read_provenance(old, kind);
    if (old.marked_open() && old.has_writer()) {
      old.refuse("another process still writes this " + whole + ", so it cannot be resumed; end that one first");
    }
    if (provenance.schema_version != kind.version || provenance.definitions_version != schema::kDefinitionsVersion) {
      old.refuse("it follows schema " + provenance.schema_version + " and definitions " +
                 provenance.definitions_version + ", this program " + kind.version + " and " +
                 schema::kDefinitionsVersion + ", so the " + whole + " cannot be resumed; begin a new one");
    }
    const RunDescription description = read_description(old, kind);
    if (const std::string difference = first_difference(description, now); !difference.empty()) {
      old.refuse("the " + whole + " cannot be resumed, as it is another one: " + difference);
    }
    path_ = fs::canonical(path_).string();
    const std::string part = make_room(path_ + ".resumed", true);
    create_at(part, description, layout, provenance::continued(provenance, what), [&] {
      copy(old, description, layout, kept);
      file_->sync();
      replace_by(part);
    });
  });
}

template <class R>
void GrowingFile<R>::write(const std::vector<R>& rows) {
  guarded([&] {
    appender_->append(rows);
    file_->check();
  });
}

template <class R>
void GrowingFile<R>::write(const Event& event) {
  guarded([&] { events_.push_back(event); });
}

template <class R>
void GrowingFile<R>::flush() {
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

template <class R>
void GrowingFile<R>::close() {
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
  if (fsync_ != Fsync::kNever) {
    sync_to_disk(path_);
  }
  bytes_ = file_->size();
  failed_ = false;
  file_.reset();
}

// The file at `path` with every object in it, readers let in; `fill` may write to it. Leaves none behind when it fails.
template <class R>
template <class Fill>
void GrowingFile<R>::create_at(const std::string& path, const RunDescription& description, const RowLayout& layout,
                               const RunProvenance& provenance, Fill fill) {
  file_.emplace(path);
  opened_ = true;
  try {
    create_whole(file_->get(), kind_of<R>(), description, layout, provenance);
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

template <class R>
void GrowingFile<R>::replace_by(const std::string& part) {
  if (std::rename(part.c_str(), path_.c_str()) != 0) {
    throw Error("cannot put " + part + " in the place of " + path_ + ": " + std::strerror(errno));
  }
  file_->renamed(path_);
}

template <class R>
void GrowingFile<R>::copy(const h5::InputFile& old, const RunDescription& description, const RowLayout& layout,
                          const Kept& kept) {
  const uint64_t committed = committed_rows(old, kind_of<R>());
  RowReader<R> reader(old, description, layout);
  for (uint64_t first = 0, count = 0; first < committed; first += count) {
    count = std::min(reader.rows_at_once(), committed - first);
    std::vector<R> rows = reader.rows(first, count);
    rows.erase(std::find_if_not(rows.begin(), rows.end(), kept.row), rows.end());
    appender_->append(rows);
    file_->check();
    if (rows.size() < count) {
      break;
    }
  }
  if (kind_of<R>().one_training) {
    for (const Event& event : read_events(old)) {
      if (kept.event(event)) {
        events_.push_back(event);
      }
    }
  }
  flush();
}

// After a failure the file stays as it is: what is committed is whole, and anything more would be a guess.
template <class R>
template <class Work>
void GrowingFile<R>::guarded(Work work) {
  const std::string name = "the " + std::string(kind_of<R>().name) + " " + path_;
  if (!appender_) {
    throw Error(name + " is not open");
  }
  if (failed_) {
    throw Error(name + " takes nothing more after an earlier error");
  }
  const h5::Silence silence;
  failed_ = true;
  work();
  failed_ = false;
}

template <class R>
void GrowingFile<R>::settle() {
  file_->flush();
  if (fsync_ == Fsync::kEpoch) {
    file_->sync();
  }
  bytes_ = file_->size();
}

template <class R>
void GrowingFile<R>::abandon() {
  const h5::Silence silence;
  appender_.reset();
  file_.reset();
}

template class GrowingFile<Row>;
template class GrowingFile<Member>;

}  // namespace dynascope
