// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Stand-ins for the ends of the monitor: a sink that can be slow or fail on demand, parameters that change on demand.

#include "monitor/blocks.hpp"
#include "monitor/session.hpp"
#include "monitor/writer.hpp"

#include <dynascope/sink.hpp>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dynascope::monitor {

/// Blocks of one double each.
class FakeBlocks final : public Blocks {
 public:
  explicit FakeBlocks(int64_t slots) : values_(static_cast<size_t>(slots)) {}

  void set(int64_t slot, double value) { values_[static_cast<size_t>(slot)] = value; }
  bool ready(int64_t /*slot*/) override { return is_ready; }
  void wait(int64_t /*slot*/) override {
    if (throws) {
      throw std::runtime_error("the device fell over");
    }
  }
  const std::byte* row(int64_t slot) const override {
    return reinterpret_cast<const std::byte*>(&values_[static_cast<size_t>(slot)]);
  }

  std::atomic<bool> is_ready{true};
  std::atomic<bool> throws{false};

 private:
  std::vector<double> values_;
};

/// Remembers everything; can be held up at a gate, or told to throw.
class FakeSink final : public Sink {
 public:
  struct Written {
    Row row;
    double value = 0;
  };

  void open(const RunDescription& /*description*/, const RowLayout& /*layout*/) override {}
  void write(const std::vector<Row>& rows) override {
    pass_gate();
    note_thread();
    const std::lock_guard lock(mutex_);
    if (++writes_ == throw_at_write) {
      throw std::runtime_error("disk full at write");
    }
    for (const Row& row : rows) {
      double value = 0;
      std::memcpy(&value, row.values, sizeof(value));
      rows_.push_back({row, value});
      rows_.back().row.values = nullptr;
    }
    batches_.push_back(rows.size());
  }
  void write(const Event& event) override {
    note_thread();
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  void flush() override {
    pass_gate();
    const std::lock_guard lock(mutex_);
    if (++flushes_ == throw_at_flush) {
      throw std::runtime_error("disk full at flush");
    }
    flushed_ = rows_.size();
  }
  void close() override {
    const std::lock_guard lock(mutex_);
    ++closes_;
    if (throw_at_close) {
      throw std::runtime_error("disk full at close");
    }
  }
  bool has_own_thread() const override { return own_thread; }
  int64_t bytes_written() const override {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(rows_.size()) * 8;
  }

  /// While shut, write and flush wait.
  void shut() {
    const std::lock_guard lock(gate_mutex_);
    open_ = false;
  }
  void release() {
    const std::lock_guard lock(gate_mutex_);
    open_ = true;
    gate_.notify_all();
  }
  void wait_until_held_up() {
    std::unique_lock lock(gate_mutex_);
    gate_.wait(lock, [&] { return waiting_ > 0; });
  }

  std::vector<Written> rows() const { return locked(rows_); }
  std::vector<Event> events() const { return locked(events_); }
  std::vector<size_t> batches() const { return locked(batches_); }
  int closes() const { return locked(closes_); }
  int writes() const { return locked(writes_); }
  int flushes() const { return locked(flushes_); }
  size_t flushed() const { return locked(flushed_); }
  std::set<std::thread::id> threads() const { return locked(threads_); }

  int throw_at_write = 0;
  int throw_at_flush = 0;
  bool throw_at_close = false;
  bool own_thread = true;

 private:
  template <typename T>
  T locked(const T& value) const {
    const std::lock_guard lock(mutex_);
    return value;
  }
  void note_thread() {
    const std::lock_guard lock(mutex_);
    threads_.insert(std::this_thread::get_id());
  }
  void pass_gate() {
    std::unique_lock lock(gate_mutex_);
    ++waiting_;
    gate_.notify_all();
    gate_.wait(lock, [&] { return open_; });
    --waiting_;
  }

  mutable std::mutex mutex_;
  std::vector<Written> rows_;
  std::vector<Event> events_;
  std::vector<size_t> batches_;
  std::set<std::thread::id> threads_;
  int closes_ = 0, writes_ = 0, flushes_ = 0;
  size_t flushed_ = 0;

  std::mutex gate_mutex_;
  std::condition_variable gate_;
  bool open_ = true;
  int waiting_ = 0;
};

/// Measures the number of times it was asked.
class FakeSubject final : public Subject {
 public:
  explicit FakeSubject(int64_t slots) : blocks(std::make_shared<FakeBlocks>(slots)) {}

  std::optional<Change> check(bool registrations) override {
    ++checks;
    registration_checks += registrations ? 1 : 0;
    return std::exchange(change, std::nullopt);
  }
  std::shared_ptr<Blocks> measure(int64_t slot, bool histogram) override {
    if (throws) {
      throw std::runtime_error("no kernel image");
    }
    blocks->set(slot, ++measured);
    histograms.push_back(histogram);
    return blocks;
  }

  std::shared_ptr<FakeBlocks> blocks;
  std::optional<Change> change;
  bool throws = false;
  int checks = 0, registration_checks = 0;
  double measured = 0;
  std::vector<bool> histograms;
};

inline int count(const std::vector<Event>& events, EventCode code) {
  int found = 0;
  for (const Event& event : events) {
    found += event.code == code ? 1 : 0;
  }
  return found;
}

}  // namespace dynascope::monitor
