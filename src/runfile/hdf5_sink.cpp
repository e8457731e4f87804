// SPDX-License-Identifier: BSD-3-Clause
#include "growing_file.hpp"

#include <dynascope/hdf5_sink.hpp>

#include <string>
#include <utility>

namespace dynascope {

class Hdf5Sink::Impl {
 public:
  Impl(std::string path, Hdf5Options options) : file(std::move(path), options.fsync()), options_(options) {}

  void open(const RunDescription& description, const RowLayout& layout) {
    if (options_.resume() < 0) {
      file.create(description, layout, options_.overwrite(), GrowingFile<Row>::Created::kInPlace);
      return;
    }
    file.resume(description, layout, "resumed at step " + std::to_string(options_.resume()),
                {[this](const Row& row) { return kept(row); },
                 [this](const Event& event) { return event.step <= options_.resume(); }});
  }

  GrowingFile<Row> file;

 private:
  bool kept(const Row& row) const {
    const bool later = options_.resume_epochs() >= 0 && row.epoch_end && row.epoch > options_.resume_epochs();
    return row.step < options_.resume() || (row.step == options_.resume() && !later);
  }

  Hdf5Options options_;
};

Hdf5Sink::Hdf5Sink(std::string path, Hdf5Options options) : impl_(std::make_unique<Impl>(std::move(path), options)) {}
Hdf5Sink::~Hdf5Sink() = default;

void Hdf5Sink::open(const RunDescription& description, const RowLayout& layout) { impl_->open(description, layout); }
void Hdf5Sink::write(const std::vector<Row>& rows) { impl_->file.write(rows); }
void Hdf5Sink::write(const Event& event) { impl_->file.write(event); }
void Hdf5Sink::flush() { impl_->file.flush(); }
void Hdf5Sink::close() { impl_->file.close(); }
int64_t Hdf5Sink::bytes_written() const { return impl_->file.size(); }

bool Hdf5Sink::has_own_thread() const {
  hbool_t safe = 0;
  return H5is_library_threadsafe(&safe) >= 0 && safe != 0;
}

}  // namespace dynascope
