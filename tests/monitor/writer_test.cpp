// SPDX-License-Identifier: BSD-3-Clause
#include "fakes.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace dynascope::monitor {
namespace {

using namespace std::chrono_literals;

class WriterTest : public testing::Test {
 protected:
  void start(int64_t slots, WhenFull when_full, Writer::Inspect inspect = {}) {
    blocks_ = std::make_shared<FakeBlocks>(slots);
    writer_ = std::make_unique<Writer>(sink_, slots, when_full, ledger_);
    writer_->start(std::move(inspect));
  }

  /// Pushes row `step` with value `step`; false when there was no slot for it.
  bool push(int64_t step) {
    const auto slot = writer_->acquire();
    if (!slot) {
      return false;
    }
    blocks_->set(*slot, static_cast<double>(step));
    QueuedRow row;
    row.row.step = step;
    row.slot = *slot;
    row.blocks = blocks_;
    writer_->push(std::move(row));
    return true;
  }

  void expect_steps(int64_t first, int64_t last) {
    const auto rows = sink_->rows();
    ASSERT_EQ(rows.size(), static_cast<size_t>(last - first + 1));
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].row.step, first + static_cast<int64_t>(i));
      EXPECT_EQ(rows[i].value, static_cast<double>(rows[i].row.step));
    }
  }

  void wait_for_flushed(size_t rows) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (sink_->flushed() < rows && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(1ms);
    }
    ASSERT_GE(sink_->flushed(), rows);
  }

  std::shared_ptr<FakeSink> sink_ = std::make_shared<FakeSink>();
  Ledger ledger_;
  std::shared_ptr<FakeBlocks> blocks_;
  std::unique_ptr<Writer> writer_;
};

TEST_F(WriterTest, RowsArriveInOrderFromOneOtherThreadAndAreAllFlushed) {
  start(8, WhenFull::kBlock);
  for (int64_t step = 0; step < 1000; ++step) {
    ASSERT_TRUE(push(step));
  }
  writer_->finish();
  expect_steps(0, 999);
  EXPECT_EQ(sink_->flushed(), 1000u);
  EXPECT_EQ(sink_->closes(), 1);
  const auto threads = sink_->threads();
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_EQ(threads.count(std::this_thread::get_id()), 0u);
  EXPECT_EQ(ledger_.status().rows_written, 1000);
  EXPECT_EQ(ledger_.status().bytes_written, 8000);
  EXPECT_EQ(ledger_.status().first_error, "");
}

TEST_F(WriterTest, RowsWaitToBeWrittenTogether) {
  start(64, WhenFull::kBlock);
  for (int64_t step = 0; step < 20; ++step) {
    ASSERT_TRUE(push(step));
  }
  writer_->flush();
  wait_for_flushed(20);
  EXPECT_EQ(sink_->batches(), std::vector<size_t>{20});
}

TEST_F(WriterTest, ALoneRowIsWrittenWithinSeconds) {
  start(64, WhenFull::kBlock);
  ASSERT_TRUE(push(0));
  wait_for_flushed(1);
}

TEST_F(WriterTest, BlockWaitsForASlowSinkAndLosesNothing) {
  start(4, WhenFull::kBlock);
  sink_->shut();
  std::atomic<int64_t> pushed{0};
  std::thread training([&] {
    for (int64_t step = 0; step < 50; ++step) {
      push(step);
      ++pushed;
    }
  });
  sink_->wait_until_held_up();
  std::this_thread::sleep_for(20ms);
  EXPECT_LE(pushed.load(), 4);
  sink_->release();
  training.join();
  writer_->finish();
  expect_steps(0, 49);
}

TEST_F(WriterTest, DropRefusesASlotAtOnceWhenAllAreTaken) {
  start(4, WhenFull::kDrop);
  sink_->shut();
  for (int64_t step = 0; step < 4; ++step) {
    ASSERT_TRUE(push(step));
  }
  sink_->wait_until_held_up();
  EXPECT_FALSE(push(4));
  sink_->release();
  wait_for_flushed(4);
  EXPECT_TRUE(push(5));
  writer_->finish();
  EXPECT_EQ(sink_->rows().size(), 5u);
}

TEST_F(WriterTest, CompleteRowsDoNotWaitForIncompleteOnes) {
  start(8, WhenFull::kBlock);
  blocks_->is_ready = false;
  for (int64_t step = 0; step < 3; ++step) {
    ASSERT_TRUE(push(step));
  }
  writer_->finish();
  expect_steps(0, 2);
  EXPECT_EQ(sink_->batches(), (std::vector<size_t>{1, 1, 1}));
}

TEST_F(WriterTest, SinkThatThrowsAtAWriteStopsTheRecordingAndIsClosedOnce) {
  sink_->throw_at_write = 3;
  start(2, WhenFull::kBlock);
  for (int64_t step = 0; step < 100; ++step) {
    push(step);  // refused once the sink has failed, never blocked
  }
  writer_->finish();
  EXPECT_TRUE(writer_->failed());
  EXPECT_EQ(sink_->writes(), 3);
  EXPECT_EQ(sink_->closes(), 1);
  EXPECT_EQ(ledger_.status().first_error, "recording stopped: disk full at write");
  EXPECT_EQ(ledger_.status().errors, 1);
  EXPECT_FALSE(push(100));
}

TEST_F(WriterTest, SinkThatThrowsAtFlushDoesNotCountItsRowsAsWritten) {
  sink_->throw_at_flush = 2;
  start(4, WhenFull::kBlock);
  ASSERT_TRUE(push(0));
  writer_->flush();
  wait_for_flushed(1);
  ASSERT_TRUE(push(1));
  writer_->finish();
  EXPECT_EQ(ledger_.status().rows_written, 1);
  EXPECT_EQ(ledger_.status().first_error, "recording stopped: disk full at flush");
  EXPECT_EQ(sink_->closes(), 1);
}

TEST_F(WriterTest, SinkThatThrowsAtCloseIsReported) {
  sink_->throw_at_close = true;
  start(4, WhenFull::kBlock);
  ASSERT_TRUE(push(0));
  writer_->finish();
  expect_steps(0, 0);
  EXPECT_EQ(sink_->closes(), 1);
  EXPECT_EQ(ledger_.status().first_error, "the sink could not be closed: disk full at close");
}

TEST_F(WriterTest, AFailedDeviceLeavesAnEventInTheSink) {
  start(8, WhenFull::kBlock);
  ASSERT_TRUE(push(0));
  writer_->flush();
  wait_for_flushed(1);
  blocks_->throws = true;
  ASSERT_TRUE(push(1));
  writer_->finish();
  expect_steps(0, 0);
  ASSERT_EQ(sink_->events().size(), 1u);
  EXPECT_EQ(sink_->events()[0].code, EventCode::kError);
  EXPECT_EQ(sink_->events()[0].message, "recording stopped: the device fell over");
  EXPECT_EQ(sink_->closes(), 1);
}

TEST_F(WriterTest, DestructorDuringAFlushWaitsAndWritesTheRest) {
  start(8, WhenFull::kBlock);
  sink_->shut();
  ASSERT_TRUE(push(0));
  writer_->flush();
  sink_->wait_until_held_up();
  ASSERT_TRUE(push(1));
  std::thread later([&] {
    std::this_thread::sleep_for(20ms);
    sink_->release();
  });
  writer_.reset();
  later.join();
  expect_steps(0, 1);
  EXPECT_EQ(sink_->flushed(), 2u);
  EXPECT_EQ(sink_->closes(), 1);
}

TEST_F(WriterTest, ASinkWithoutThreadsIsOnlyCalledFromTheTrainingThread) {
  sink_->own_thread = false;
  start(4, WhenFull::kDrop);
  for (int64_t step = 0; step < 10; ++step) {
    ASSERT_TRUE(push(step));  // a full buffer is written out, whatever the policy
  }
  EXPECT_LT(sink_->rows().size(), 10u);
  writer_->flush();
  expect_steps(0, 9);
  EXPECT_EQ(ledger_.status().rows_written, 10);
  writer_->finish();
  EXPECT_EQ(sink_->threads(), std::set<std::thread::id>{std::this_thread::get_id()});
  EXPECT_EQ(sink_->closes(), 1);
}

TEST_F(WriterTest, WhatInspectionFindsStandsBehindItsRow) {
  start(8, WhenFull::kBlock, [](const Row& row) -> std::optional<Event> {
    return row.step == 1 ? std::optional(Event{row.step, 0, EventCode::kNonFinite, 7, "nan"}) : std::nullopt;
  });
  for (int64_t step = 0; step < 3; ++step) {
    ASSERT_TRUE(push(step));
  }
  writer_->finish();
  expect_steps(0, 2);
  ASSERT_EQ(sink_->events().size(), 1u);
  EXPECT_EQ(sink_->events()[0].step, 1);
}

TEST_F(WriterTest, NeverStartedNeverCloses) {
  writer_ = std::make_unique<Writer>(sink_, 4, WhenFull::kBlock, ledger_);
  EXPECT_TRUE(writer_->acquire());
  writer_.reset();
  EXPECT_EQ(sink_->closes(), 0);
}

TEST_F(WriterTest, FinishingTwiceClosesOnce) {
  start(4, WhenFull::kBlock);
  writer_->finish();
  writer_->finish();
  writer_.reset();
  EXPECT_EQ(sink_->closes(), 1);
}

}  // namespace
}  // namespace dynascope::monitor
