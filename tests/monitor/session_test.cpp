// SPDX-License-Identifier: BSD-3-Clause
#include "fakes.hpp"
#include "monitor/edges.hpp"
#include "monitor/nonfinite.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace dynascope::monitor {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class SessionTest : public testing::Test {
 protected:
  void begin(int64_t every_n_steps, Histogram histogram = Histogram::kEpochEnds, int64_t slots = 8,
             WhenFull when_full = WhenFull::kBlock) {
    subject_ = std::make_unique<FakeSubject>(slots);
    writer_ = std::make_unique<Writer>(sink_, slots, when_full, ledger_);
    const int64_t slot = *writer_->acquire();
    writer_->start({});
    options_.histogram = histogram;
    options_.scalars = {"loss", "accuracy"};
    if (every_n_steps > 0) {
      options_.schedule.every(every_n_steps);
    }
    session_ = std::make_unique<Session>(options_, *subject_, *writer_, ledger_);
    QueuedRow row;
    row.slot = slot;
    row.blocks = subject_->measure(slot, true);
    session_->begin(std::move(row));
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      session_->step_end();
    }
  }
  std::vector<FakeSink::Written> end() {
    session_->end();
    writer_->finish();
    return sink_->rows();
  }

  /// "step/epoch" of each row, with a "." where it closes an epoch.
  static std::string text(const std::vector<FakeSink::Written>& rows) {
    std::string all;
    for (const auto& [row, value] : rows) {
      all += (all.empty() ? "" : " ") + std::to_string(row.step) + "/" + std::to_string(row.epoch) +
             (row.epoch_end ? "." : "");
    }
    return all;
  }

  Session::Options options_;
  std::shared_ptr<FakeSink> sink_ = std::make_shared<FakeSink>();
  Ledger ledger_;
  std::unique_ptr<FakeSubject> subject_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Session> session_;
};

TEST_F(SessionTest, EpochEndsOnly) {
  begin(0);
  for (int epoch = 0; epoch < 3; ++epoch) {
    steps(4);
    session_->epoch_end({{"loss", 1.0 / (epoch + 1)}});
  }
  const auto rows = end();
  EXPECT_EQ(text(rows), "0/0. 4/1. 8/2. 12/3.");
  EXPECT_TRUE(std::isnan(rows[0].row.scalars[0]));
  EXPECT_EQ(rows[2].row.scalars[0], 0.5);
  EXPECT_TRUE(std::isnan(rows[2].row.scalars[1]));
  EXPECT_EQ(subject_->checks, 12 + 3);
  EXPECT_EQ(subject_->registration_checks, 3);
}

TEST_F(SessionTest, StepRowsBelongToTheEpochUnderWay) {
  begin(2);
  steps(3);
  session_->epoch_end({});
  steps(3);
  session_->epoch_end({});
  EXPECT_EQ(text(end()), "0/0. 2/1 3/1. 4/2 6/2.");
}

TEST_F(SessionTest, EpochEndCompletesTheRowOfItsStep) {
  begin(4);
  steps(4);
  session_->epoch_end({{"accuracy", 0.5}});
  const auto rows = end();
  EXPECT_EQ(text(rows), "0/0. 4/1.");
  EXPECT_EQ(rows[1].row.scalars[1], 0.5);
  // Row 0, the step, and once more for the histogram that the step did not ask for.
  EXPECT_EQ(subject_->histograms, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(rows[1].value, 3);
  EXPECT_GT(rows[1].row.snapshot_seconds, 0);
}

TEST_F(SessionTest, ACompletedRowIsNotMeasuredAgainWithoutNeed) {
  for (const Histogram histogram : {Histogram::kEveryRow, Histogram::kOff}) {
    sink_ = std::make_shared<FakeSink>();
    begin(1, histogram);
    steps(1);
    session_->epoch_end({});
    EXPECT_EQ(text(end()), "0/0. 1/1.");
    EXPECT_EQ(subject_->measured, 2);
    EXPECT_EQ(subject_->histograms[1], histogram == Histogram::kEveryRow);
  }
}

TEST_F(SessionTest, EpochsWithoutStepsAreRows) {
  begin(1);
  session_->epoch_end({});
  session_->epoch_end({});
  steps(1);
  session_->epoch_end({});
  session_->epoch_end({{"loss", 2.0}});
  const auto rows = end();
  EXPECT_EQ(text(rows), "0/0. 0/1. 0/2. 1/3. 1/4.");
  EXPECT_TRUE(std::isnan(rows[3].row.scalars[0]));
  EXPECT_EQ(rows[4].row.scalars[0], 2.0);
}

TEST_F(SessionTest, RowsThatCloseAnEpochAreReadableWithoutFurtherEvents) {
  begin(0);
  steps(1);
  session_->epoch_end({});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (ledger_.status().rows_written < 2 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(ledger_.status().rows_written, 2);
}

TEST_F(SessionTest, LoggedValuesAttachToTheNextRow) {
  begin(2);
  steps(2);
  session_->log("loss", 1.0);  // row 2 is taken already
  session_->log("loss", 2.0);  // the later value counts
  steps(1);
  session_->log("accuracy", 3.0);
  steps(1);
  steps(2);
  const auto rows = end();
  ASSERT_EQ(text(rows), "0/0. 2/1 4/1 6/1");
  EXPECT_TRUE(std::isnan(rows[1].row.scalars[0]));
  EXPECT_EQ(rows[2].row.scalars[0], 2.0);
  EXPECT_EQ(rows[2].row.scalars[1], 3.0);
  EXPECT_TRUE(std::isnan(rows[3].row.scalars[0]));
}

TEST_F(SessionTest, UnknownScalarIsCountedAndSaidOnce) {
  begin(0);
  for (int i = 0; i < 5; ++i) {
    session_->epoch_end({{"reward", 1.0}, {"loss", 4.0}});
  }
  const auto rows = end();
  EXPECT_EQ(rows.size(), 6u);
  EXPECT_EQ(rows[5].row.scalars[0], 4.0);
  EXPECT_EQ(ledger_.status().errors, 5);
  EXPECT_EQ(ledger_.status().first_error,
            "unknown scalar 'reward' is not recorded: name it in MonitorOptions::scalars");
  EXPECT_EQ(count(sink_->events(), EventCode::kError), 1);
}

TEST_F(SessionTest, DroppedRowsAreCountedInTheNextOneAndAsAnEvent) {
  begin(1, Histogram::kOff, 4, WhenFull::kDrop);
  sink_->shut();
  steps(100);
  sink_->release();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (sink_->flushed() < 3 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  const int64_t dropped = ledger_.status().rows_dropped;
  ASSERT_GE(dropped, 100 - 8);
  steps(1);
  const auto rows = end();
  EXPECT_EQ(rows.back().row.step, 101);
  int64_t told = 0;
  for (const auto& [row, value] : rows) {
    told += row.dropped;
  }
  EXPECT_EQ(told, dropped);
  double in_events = 0;
  for (const Event& event : sink_->events()) {
    in_events += event.code == EventCode::kRowsDropped ? event.value : 0;
  }
  EXPECT_EQ(in_events, static_cast<double>(dropped));
  EXPECT_EQ(static_cast<int64_t>(rows.size()) + dropped, 1 + 101);
}

TEST_F(SessionTest, MovedParametersAreAnEventAndRecordingGoesOn) {
  begin(1);
  subject_->change = Change{EventCode::kReplanned, "fc1.weight moved"};
  steps(3);
  EXPECT_EQ(text(end()), "0/0. 1/1 2/1 3/1");
  ASSERT_EQ(sink_->events().size(), 1u);
  EXPECT_EQ(sink_->events()[0].code, EventCode::kReplanned);
  EXPECT_EQ(sink_->events()[0].step, 1);
  EXPECT_EQ(ledger_.status().first_error, "");
}

TEST_F(SessionTest, ALostLayerStopsTheRecordingAndKeepsWhatThereIs) {
  begin(1);
  steps(2);
  subject_->change = Change{EventCode::kLayerLost, "fc1.weight was [2, 3], is [4, 3]"};
  session_->epoch_end({{"loss", 1.0}});
  const int checks = subject_->checks;
  steps(5);
  session_->epoch_end({});
  const auto rows = end();
  EXPECT_EQ(text(rows), "0/0. 1/1 2/1.");
  EXPECT_EQ(rows[2].row.scalars[0], 1.0);
  EXPECT_EQ(subject_->checks, checks);
  EXPECT_EQ(count(sink_->events(), EventCode::kLayerLost), 1);
  EXPECT_EQ(ledger_.status().first_error, "recording stopped at step 2: fc1.weight was [2, 3], is [4, 3]");
}

TEST_F(SessionTest, AMeasurementThatThrowsStopsTheRecording) {
  begin(1);
  steps(1);
  subject_->throws = true;
  steps(3);
  session_->epoch_end({});
  EXPECT_EQ(text(end()), "0/0. 1/1");
  EXPECT_EQ(ledger_.status().first_error, "recording stopped at step 2: no kernel image");
  EXPECT_EQ(count(sink_->events(), EventCode::kError), 1);
}

TEST_F(SessionTest, AFailedSinkMakesStepsCheap) {
  sink_->throw_at_write = 1;
  begin(1);
  while (!writer_->failed()) {
    std::this_thread::yield();
  }
  steps(10);
  EXPECT_EQ(subject_->checks, 0);
  EXPECT_EQ(end().size(), 0u);
}

TEST_F(SessionTest, AnEventPerStepDoesNotFillTheDisk) {
  begin(0);
  for (int i = 0; i < 3000; ++i) {
    subject_->change = Change{EventCode::kReplanned, "moved"};
    steps(1);
  }
  end();
  EXPECT_EQ(sink_->events().size(), 1000u);
  EXPECT_EQ(sink_->events().back().message, "more events than are recorded");
}

// Any order of calls yields rows that are sorted by step, unique in (step, epoch), and one row per closed epoch.
TEST_F(SessionTest, AnyOrderOfCallsKeepsStepAndEpochUnique) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    sink_ = std::make_shared<FakeSink>();
    begin(std::uniform_int_distribution<>(0, 3)(random), Histogram::kEpochEnds, 2 + static_cast<int>(random() % 3));
    int64_t closed = 0;
    for (int call = 0; call < 40; ++call) {
      switch (std::uniform_int_distribution<>(0, 3)(random)) {
        case 0:
          session_->epoch_end({{"loss", static_cast<double>(++closed)}});
          break;
        default:
          session_->step_end();
      }
    }
    const auto rows = end();
    std::set<std::pair<int64_t, int64_t>> seen;
    int64_t ends = -1, last_step = 0;
    for (const auto& [row, value] : rows) {
      EXPECT_TRUE(seen.insert({row.step, row.epoch}).second) << text(rows);
      EXPECT_GE(row.step, last_step);
      last_step = row.step;
      if (row.epoch_end) {
        EXPECT_EQ(row.epoch, ++ends);
        if (row.epoch > 0) {
          EXPECT_EQ(row.scalars[0], static_cast<double>(row.epoch));
        }
      } else {
        EXPECT_EQ(row.epoch, ends + 1);
      }
    }
    EXPECT_EQ(ends, closed);
    EXPECT_EQ(ledger_.status().first_error, "");
  }
}

TEST(Edges, FourTimesTheLargestEntryOrOne) {
  std::vector<double> edges;
  append_edges(-0.5, 0.25, 4, edges);
  EXPECT_EQ(edges, (std::vector<double>{-2, -1, 0, 1, 2}));
  for (const double nothing : {0.0, kNan}) {
    edges.clear();
    append_edges(nothing, nothing, 4, edges);
    EXPECT_EQ(edges, (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  }
}

TEST(Edges, RiseAndStayFiniteForHugeEntries) {
  std::vector<double> edges;
  append_edges(-1e308, 1e308, 128, edges);
  for (size_t i = 1; i < edges.size(); ++i) {
    EXPECT_LT(edges[i - 1], edges[i]);
    EXPECT_TRUE(std::isfinite(edges[i]));
  }
}

TEST(NonFiniteFinder, NamesLayerAndUnitOfTheFirstRowOnly) {
  RunDescription description;
  description.histogram = Histogram::kOff;
  description.node_layers = {{"input", Role::kInput, {2}, {2}, {{}}, {1, 1}},
                             {"fc1", Role::kOutput, {3}, {3}, {{}}, {1, 1, 1}}};
  description.weight_layers = {{"fc1.weight", 9}};
  const RowLayout layout(description);
  std::vector<std::byte> block(static_cast<size_t>(layout.bytes()));
  const auto put = [&](const std::string& path, int64_t index, auto value) {
    const Span& span = layout.at(path);
    std::memcpy(block.data() + span.offset + index * static_cast<int64_t>(sizeof(value)), &value, sizeof(value));
  };
  Row row;
  row.step = 5;
  row.values = block.data();
  NonFiniteFinder finder(description, layout);
  EXPECT_FALSE(finder(row));

  put("/nodes/nonfinite", 1, int64_t{1});
  put("/nodes/001_fc1/strength", 2, std::numeric_limits<float>::infinity());
  put("/links/nonfinite", 0, int64_t{4});
  const auto event = finder(row);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->code, EventCode::kNonFinite);
  EXPECT_EQ(event->step, 5);
  EXPECT_EQ(event->value, 2);
  EXPECT_EQ(event->message,
            "first non-finite value: node layer fc1, stored unit 2 of 3 is inf; weight layer fc1.weight, entries not "
            "finite: 4");
  EXPECT_FALSE(finder(row));
}

}  // namespace
}  // namespace dynascope::monitor
