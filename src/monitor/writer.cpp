// SPDX-License-Identifier: BSD-3-Clause
#include "writer.hpp"

#include "log.hpp"
#include "processors.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <exception>
#include <pthread.h>
#include <string>
#include <system_error>
#include <utility>

namespace dynascope::monitor {
namespace {

constexpr std::chrono::seconds kLongestDelay(2);

/// Blocks all signals while it lives, so that a thread started meanwhile leaves the program's signals to its own.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

/// Of this thread.
double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::string current_exception_text() {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

}  // namespace

Writer::Writer(std::shared_ptr<Sink> sink, int64_t slots, WhenFull when_full, Ledger& ledger)
    : sink_(std::move(sink)),
      gather_(static_cast<size_t>(std::max<int64_t>(1, slots / 2))),
      when_full_(when_full),
      ledger_(ledger) {
  for (int64_t slot = slots - 1; slot >= 0; --slot) {
    free_.push_back(slot);
  }
  queue_.reserve(static_cast<size_t>(slots) + 16);
}

Writer::~Writer() { finish(); }

void Writer::start(Inspect inspect) {
  inspect_ = std::move(inspect);
  started_ = true;
  if (!sink_->has_own_thread()) {
    log::warn(
        "the sink cannot be written from a thread of its own: rows are written in the training thread, at epoch "
        "ends and when the buffer is full");
    return;
  }
  try {
    const SignalsBlocked blocked;
    thread_ = std::thread([this] {
      leave_training_its_processor();
      run();
    });
    pthread_setname_np(thread_.native_handle(), "dynascope");
  } catch (const std::system_error& error) {
    log::warn(std::string("no thread for writing (") + error.what() + "): rows are written in the training thread");
  }
}

std::optional<int64_t> Writer::acquire() noexcept {
  std::unique_lock lock(mutex_);
  if (free_.empty() && started_ && !failed() && !closed_) {
    if (!thread_.joinable()) {
      lock.unlock();
      pump();
      lock.lock();
    } else if (when_full_ == WhenFull::kBlock) {
      urgent_ = true;
      wake_.notify_one();
      space_.wait(lock, [this] { return failed() || !free_.empty(); });
    }
  }
  if (failed() || free_.empty()) {
    return std::nullopt;
  }
  const int64_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void Writer::release(int64_t slot) noexcept {
  const std::lock_guard lock(mutex_);
  free_.push_back(slot);
  space_.notify_one();
}

template <typename T>
void Writer::enqueue(T&& entry, bool row) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (failed() || closed_) {
      return;
    }
    queue_.emplace_back(std::forward<T>(entry));
    queued_rows_ += row ? 1 : 0;
    // The writer sleeps through the rest: waking it costs more than the push.
    if (queue_.size() == 1 || queued_rows_ == gather_) {
      wake_.notify_one();
    }
  } catch (...) {
    fail("no memory for the queue of rows", false);
  }
}

void Writer::push(QueuedRow row) noexcept { enqueue(std::move(row), true); }
void Writer::push(Event event) noexcept { enqueue(std::move(event), false); }

void Writer::flush() noexcept {
  if (started_ && !thread_.joinable()) {
    pump();
    return;
  }
  const std::lock_guard lock(mutex_);
  urgent_ = true;
  wake_.notify_one();
}

void Writer::run() noexcept {
  std::vector<Entry> entries;  // swaps storage with the queue: no allocation per batch
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {
    const auto called = [this] { return closing_ || urgent_ || queued_rows_ >= gather_; };
    wake_.wait(lock, [&] { return called() || !queue_.empty(); });
    wake_.wait_for(lock, kLongestDelay, called);
    last = closing_;
    urgent_ = false;
    entries.clear();
    entries.swap(queue_);
    queued_rows_ = 0;
    busy_ = true;
    lock.unlock();
    write_out(entries);
    lock.lock();
    busy_ = false;
    idle_.notify_all();
  }
  lock.unlock();
  close_sink();
  lock.lock();
  ended_ = true;
  idle_.notify_all();
}

void Writer::drain() noexcept {
  if (!thread_.joinable()) {
    flush();
    return;
  }
  std::unique_lock lock(mutex_);
  urgent_ = true;
  wake_.notify_one();
  idle_.wait(lock, [this] { return failed() || ended_ || (queue_.empty() && !busy_); });
}

void Writer::pump() noexcept {
  std::vector<Entry> entries;
  {
    const std::lock_guard lock(mutex_);
    entries.swap(queue_);
    queued_rows_ = 0;
  }
  write_out(entries);
}

void Writer::write_out(std::vector<Entry>& entries) noexcept {
  const double before = processor_seconds();
  const int64_t rows = std::count_if(entries.begin(), entries.end(),
                                     [](const Entry& entry) { return std::holds_alternative<QueuedRow>(entry); });
  write_entries(entries);
  ledger_.writer(processor_seconds() - before, rows);
}

void Writer::write_entries(std::vector<Entry>& entries) noexcept {
  std::vector<Row> rows;
  std::vector<int64_t> slots;
  bool sink_failed = true;
  try {
    for (Entry& entry : entries) {
      if (failed()) {
        return;
      }
      std::optional<Event> found;
      if (auto* event = std::get_if<Event>(&entry)) {
        found = std::move(*event);
      } else {
        auto& queued = std::get<QueuedRow>(entry);
        sink_failed = false;
        const bool waits = !queued.blocks->ready(queued.slot);
        sink_failed = true;
        if (waits) {  // what is complete need not wait for what is not
          write_rows(rows, slots);
        }
        sink_failed = false;
        queued.blocks->wait(queued.slot);
        queued.row.values = queued.blocks->row(queued.slot);
        if (const double seconds = queued.blocks->device_seconds(queued.slot); seconds > 0) {
          queued.row.snapshot_seconds += seconds;
          ledger_.device(seconds);
        }
        found = inspect_ ? inspect_(queued.row) : std::nullopt;
        rows.push_back(queued.row);
        slots.push_back(queued.slot);
        sink_failed = true;
        last_step_ = queued.row.step;
      }
      if (found) {
        write_rows(rows, slots);
        sink_->write(*found);
      }
    }
    write_rows(rows, slots);
    if (!entries.empty()) {
      flush_sink();
    }
  } catch (...) {
    const std::string what = current_exception_text();
    if (!sink_failed) {
      try {
        write_rows(rows, slots);
      } catch (...) {
        sink_failed = true;
      }
    }
    fail(what, !sink_failed);
  }
}

void Writer::write_rows(std::vector<Row>& rows, std::vector<int64_t>& slots) {
  if (rows.empty()) {
    return;
  }
  sink_->write(rows);
  ++calls_;
  unflushed_rows_ += static_cast<int64_t>(rows.size());
  {
    const std::lock_guard lock(mutex_);
    free_.insert(free_.end(), slots.rbegin(), slots.rend());
  }
  space_.notify_all();
  rows.clear();
  slots.clear();
}

void Writer::flush_sink() {
  sink_->flush();
  ++calls_;
  ledger_.flushed(unflushed_rows_, sink_->bytes_written());
  unflushed_rows_ = 0;
}

void Writer::fail(const std::string& what, bool sink_usable) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (failed()) {
      return;
    }
    failed_.store(true);
    queue_.clear();
    queued_rows_ = 0;
  }
  sink_usable_ = sink_usable;
  space_.notify_all();
  try {
    const std::string message = "recording stopped: " + what;
    ledger_.report(message);
    if (sink_usable) {
      sink_->write(Event{last_step_, ledger_.seconds(), EventCode::kError, 0, message});
      flush_sink();
    }
  } catch (...) {
    sink_usable_ = false;
  }
}

void Writer::close_sink() noexcept {
  try {
    sink_->close();
    ledger_.flushed(0, sink_->bytes_written());
  } catch (...) {
    failed_.store(true);
    if (sink_usable_) {  // otherwise it has been said
      ledger_.report("the sink could not be closed: " + current_exception_text());
    }
  }
}

bool Writer::wait_for_thread(std::chrono::steady_clock::duration patience) {
  std::unique_lock lock(mutex_);
  const auto done = [this] { return sink_->bytes_written() + calls_; };
  for (int64_t before = done(); !idle_.wait_for(lock, patience, [this] { return ended_; });) {
    if (const int64_t now = done(); now != before) {
      before = now;
      continue;
    }
    failed_.store(true);
    given_up_ = true;
    return false;
  }
  return true;
}

bool Writer::finish(std::chrono::steady_clock::duration patience) noexcept {
  if (!started_ || closed_.exchange(true)) {
    return !given_up_;
  }
  if (!thread_.joinable()) {
    pump();
    close_sink();
    return true;
  }
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (wait_for_thread(patience)) {
    thread_.join();
    return true;
  }
  thread_.detach();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
  ledger_.report("recording stopped: the sink got nothing done for " + std::to_string(seconds) +
                 " s and was given up; what had been flushed is there");
  return false;
}

}  // namespace dynascope::monitor
