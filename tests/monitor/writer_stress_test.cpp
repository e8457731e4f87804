// SPDX-License-Identifier: BSD-3-Clause
// Three threads at one writer, for the thread sanitizer: 200,000 operations of its queue, or ten million where
// DYNASCOPE_LONG_TESTS=1 (scripts/test --full, under that sanitizer).
#include "fakes.hpp"
#include "support/long_tests.hpp"

#include <gtest/gtest.h>

#include <iostream>

namespace dynascope::monitor {
namespace {

// Remembers only what goes wrong. Without locks of its own: the writer is to call it from one thread at a time.
class CheckingSink final : public Sink {
 public:
  void open(const RunDescription& /*description*/, const RowLayout& /*layout*/) override {}
  void write(const std::vector<Row>& batch) override {
    for (const Row& row : batch) {
      double value = 0;
      std::memcpy(&value, row.values, sizeof(value));
      misplaced += row.step <= last_step || value != static_cast<double>(row.step) ? 1 : 0;
      last_step = row.step;
      ++rows;
    }
  }
  void write(const Event& event) override { misplaced += event.step != ++events ? 1 : 0; }
  void flush() override {
    flushed_rows = rows;
    ++flushes;
  }
  void close() override { ++closes; }

  int64_t rows = 0, events = 0, flushes = 0, flushed_rows = 0, misplaced = 0, last_step = 0, closes = 0;
};

class WriterStressTest : public testing::TestWithParam<WhenFull> {};

// A row is two operations, to acquire a slot and to push; an event or a flush is one.
TEST_P(WriterStressTest, ThreeThreadsLoseNothingAndKeepTheOrder) {
  constexpr int64_t kSlots = 16;
  const int64_t total = test::long_tests() ? 10'000'000 : 200'000;
  const int64_t rows = total * 4 / 10;
  const int64_t events = total / 10;
  const int64_t flushes = total - 2 * rows - events;
  const auto sink = std::make_shared<CheckingSink>();
  const auto blocks = std::make_shared<FakeBlocks>(kSlots);
  Ledger ledger;
  int64_t dropped = 0;
  {
    Writer writer(sink, kSlots, GetParam(), ledger);
    writer.start({});
    std::thread event_thread([&] {
      for (int64_t i = 1; i <= events; ++i) {
        Event event;
        event.step = i;
        writer.push(std::move(event));
      }
    });
    std::thread flush_thread([&] {
      for (int64_t i = 0; i < flushes; ++i) {
        writer.flush();
        static_cast<void>(writer.failed());
        if (i % 1000 == 0) {
          writer.drain();
          static_cast<void>(ledger.status());
        }
      }
    });
    for (int64_t step = 1; step <= rows; ++step) {
      const auto slot = writer.acquire();
      if (!slot) {
        ++dropped;
        continue;
      }
      blocks->set(*slot, static_cast<double>(step));
      QueuedRow row;
      row.row.step = step;
      row.slot = *slot;
      row.blocks = blocks;
      writer.push(std::move(row));
    }
    event_thread.join();
    flush_thread.join();
    EXPECT_TRUE(writer.finish());
  }
  EXPECT_EQ(sink->misplaced, 0);
  EXPECT_EQ(sink->rows + dropped, rows);
  EXPECT_EQ(sink->events, events);
  EXPECT_EQ(sink->flushed_rows, sink->rows);
  EXPECT_EQ(sink->closes, 1);
  EXPECT_EQ(ledger.status().rows_written, sink->rows);
  EXPECT_EQ(ledger.status().first_error, "");
  if (GetParam() == WhenFull::kBlock) {
    EXPECT_EQ(dropped, 0);
  }
  std::cout << total << " operations: " << sink->rows << " rows, " << dropped << " dropped, " << sink->events
            << " events, " << sink->flushes << " flushes of the sink\n";
}

INSTANTIATE_TEST_SUITE_P(WhenFull, WriterStressTest, testing::Values(WhenFull::kBlock, WhenFull::kDrop),
                         [](const auto& sample) { return sample.param == WhenFull::kBlock ? "Block" : "Drop"; });

}  // namespace
}  // namespace dynascope::monitor
