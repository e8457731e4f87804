// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From training to the sink: a fixed number of slots, a queue, and one thread.
//
// Slots bound both memory and delay. A lock-free ring would save a fraction of a microsecond per row and cost the
// proof that it is right; a mutex held for a few pointer moves never waits for the sink, whose calls are made outside
// it. Rows are gathered until half of the slots wait, an epoch ends or two seconds pass, since a sink writes a block of
// rows at little more than the price of one, and every batch is flushed.

#include "blocks.hpp"
#include "ledger.hpp"

#include <dynascope/monitor_options.hpp>
#include <dynascope/sink.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

namespace dynascope::monitor {

/// A row whose values lie, or will lie, in a slot.
struct QueuedRow {
  Row row;
  int64_t slot = -1;
  std::shared_ptr<Blocks> blocks;
};

/// Hands rows and events to a sink, in the order in which they were pushed. Every member but the constructor and start
/// is safe to call from any thread; nothing throws after start.
class Writer {
 public:
  /// Looks at a complete row before it is written; may answer with an event to write after it.
  using Inspect = std::function<std::optional<Event>(const Row&)>;

  Writer(std::shared_ptr<Sink> sink, int64_t slots, WhenFull when_full, Ledger& ledger);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// Call when the sink is open; from then on the sink is closed exactly once.
  void start(Inspect inspect);

  /// A free slot; nothing when the buffer is full and rows are to be dropped, or writing has failed.
  std::optional<int64_t> acquire() noexcept;

  /// Gives back a slot that was not pushed.
  void release(int64_t slot) noexcept;

  void push(QueuedRow row) noexcept;
  void push(Event event) noexcept;

  /// Asks for everything pushed so far to be written and flushed soon; does so now where the sink has no own thread.
  void flush() noexcept;

  /// True once the sink or a backend has failed: rows are then discarded.
  bool failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

  /// Waits until everything pushed so far is flushed, or writing has failed.
  void drain() noexcept;

  /// Writes what is left, flushes and closes the sink; returns when that is done. What is pushed later is discarded.
  /// A sink that gets nothing done for longer than `patience` is given up: its thread is then left behind, and this
  /// object, the ledger and what the rows refer to must never be destroyed. @return false when it was given up
  bool finish(std::chrono::steady_clock::duration patience = std::chrono::hours(24)) noexcept;

 private:
  using Entry = std::variant<QueuedRow, Event>;

  template <typename T>
  void enqueue(T&& entry, bool row) noexcept;
  void run() noexcept;
  void pump() noexcept;
  void write_out(std::vector<Entry>& entries) noexcept;
  void write_entries(std::vector<Entry>& entries) noexcept;
  void write_rows(std::vector<Row>& rows, std::vector<int64_t>& slots);
  void flush_sink();
  void fail(const std::string& what, bool sink_usable) noexcept;
  void close_sink() noexcept;
  bool wait_for_thread(std::chrono::steady_clock::duration patience);

  const std::shared_ptr<Sink> sink_;
  const size_t gather_;
  const WhenFull when_full_;
  Ledger& ledger_;
  Inspect inspect_;

  std::mutex mutex_;
  std::condition_variable wake_;   // the writer: there is something to do
  std::condition_variable space_;  // training: a slot came free
  std::condition_variable idle_;   // training: nothing is left to write
  std::vector<int64_t> free_;
  std::vector<Entry> queue_;
  size_t queued_rows_ = 0;
  bool urgent_ = false, closing_ = false, busy_ = false, ended_ = false, given_up_ = false;
  std::atomic<int64_t> calls_{0};  // of the sink that came back

  std::atomic<bool> failed_{false};
  std::atomic<bool> closed_{false};
  bool started_ = false;
  bool sink_usable_ = true;
  int64_t unflushed_rows_ = 0;
  int64_t last_step_ = 0;
  std::thread thread_;
};

}  // namespace dynascope::monitor
