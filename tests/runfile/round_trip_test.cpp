// SPDX-License-Identifier: BSD-3-Clause
#include "expectations.hpp"
#include "sample_run.hpp"
#include "temporary_folder.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/run_file.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <unistd.h>

namespace dynascope::testing {
namespace {

void write_run(const std::string& path, const RunDescription& run, const std::vector<int64_t>& batches,
               Hdf5Options options = {}) {
  Hdf5Sink sink(path, options);
  SampleRows source(run, RowLayout(run));
  sink.open(run, source.layout());
  int64_t rows = 0;
  for (const int64_t batch : batches) {
    sink.write(source.rows(rows, batch));
    rows += batch;
  }
  sink.close();
  expect_valid(path);
}

class RoundTripTest : public ::testing::TestWithParam<RunDescription (*)()> {
 protected:
  TemporaryFolder folder_;
  std::string path_ = folder_.file("run.h5");
};

TEST_P(RoundTripTest, DescriptionComesBackWhole) {
  const RunDescription run = GetParam()();
  write_run(path_, run, {1});
  const RunFile file(path_);
  expect_same(file.description(), run);
  EXPECT_FALSE(file.in_progress());
  EXPECT_EQ(file.provenance().schema_version, "1.0");
  EXPECT_EQ(file.provenance().definitions_version, "1.0");
  EXPECT_EQ(file.provenance().run_id.size(), 36U);
  EXPECT_NE(file.provenance().command.find("runfile_round_trip"), std::string::npos);
  EXPECT_EQ(file.provenance().created.back(), 'Z');
  EXPECT_FALSE(file.provenance().host.empty());
}

TEST_P(RoundTripTest, RowsComeBackHoweverTheyWereBatched) {
  const RunDescription run = GetParam()();
  write_run(path_, run, {1, 3, 0, 7, 1, 300});
  expect_sample_rows(RunFile(path_), 312);
}

TEST_P(RoundTripTest, NoRowsAtAllIsARun) {
  const RunDescription run = GetParam()();
  write_run(path_, run, {});
  expect_sample_rows(RunFile(path_), 0);
}

INSTANTIATE_TEST_SUITE_P(Runs, RoundTripTest, ::testing::Values(&mlp_run, &conv_run, &empty_run));

class Hdf5SinkTest : public ::testing::Test {
 protected:
  std::string error_of(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("run.h5");
};

TEST_F(Hdf5SinkTest, ExistingFileIsKeptUnlessOverwriteIsAskedFor) {
  write_run(path_, mlp_run(), {2});
  const std::string id = RunFile(path_).provenance().run_id;
  const std::string message = error_of([&] { write_run(path_, mlp_run(), {1}); });
  EXPECT_NE(message.find(path_), std::string::npos) << message;
  EXPECT_NE(message.find("overwrite(true)"), std::string::npos) << message;
  EXPECT_EQ(RunFile(path_).provenance().run_id, id);
  EXPECT_EQ(RunFile(path_).rows(), 2);

  write_run(path_, conv_run(), {1}, Hdf5Options().overwrite(true));
  EXPECT_NE(RunFile(path_).provenance().run_id, id);
  EXPECT_EQ(RunFile(path_).rows(), 1);
}

TEST_F(Hdf5SinkTest, OverwriteLeavesTheOldFileToWhoHasItOpen) {
  write_run(path_, mlp_run(), {2});
  const RunFile old(path_);
  write_run(path_, conv_run(), {1}, Hdf5Options().overwrite(true));
  expect_sample_rows(old, 2);
  expect_same(RunFile(path_).description(), conv_run());
}

TEST_F(Hdf5SinkTest, OverwriteFollowsALink) {
  write_run(path_, mlp_run(), {2});
  const std::string link = folder_.file("latest.h5");
  std::filesystem::create_symlink(path_, link);
  write_run(link, conv_run(), {1}, Hdf5Options().overwrite(true));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  expect_same(RunFile(path_).description(), conv_run());
}

TEST_F(Hdf5SinkTest, UnwritablePathsAreErrorsThatSayWhy) {
  const std::string missing = folder_.file("no/run.h5");
  EXPECT_NE(error_of([&] { write_run(missing, mlp_run(), {1}); }).find("there is no folder"), std::string::npos);
  const auto overwrite = Hdf5Options().overwrite(true);
  EXPECT_NE(error_of([&] { write_run(folder_.file(""), mlp_run(), {1}, overwrite); }).find("no regular file"),
            std::string::npos);
  EXPECT_NE(error_of([&] { write_run("/dev/full", mlp_run(), {1}, overwrite); }).find("no regular file"),
            std::string::npos);
  const std::string message = error_of([&] { write_run("/proc/run.h5", mlp_run(), {1}); });
  EXPECT_NE(message.find("No such file"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

TEST_F(Hdf5SinkTest, DescriptionThatDoesNotFitLeavesNoFile) {
  RunDescription run = mlp_run();
  run.connections.push_back({0, 9, 0});
  EXPECT_NE(error_of([&] { write_run(path_, run, {}); }).find("0 -> 9"), std::string::npos);
  run = mlp_run();
  run.histogram_edges.pop_back();
  EXPECT_NE(error_of([&] { write_run(path_, run, {}); }).find("histogram_edges"), std::string::npos);
  run = mlp_run();
  run.scalars.push_back("loss");
  EXPECT_NE(error_of([&] { write_run(path_, run, {}); }).find("'loss' is there twice"), std::string::npos);
  run = mlp_run();
  run.scalars.push_back(".");
  EXPECT_NE(error_of([&] { write_run(path_, run, {}); }).find("'.'"), std::string::npos);
  run = conv_run();
  run.node_layers[0].classes[1][2] = 3;
  EXPECT_NE(error_of([&] { write_run(path_, run, {}); }).find("outside 0 to 2"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Hdf5SinkTest, RowOfAnotherRunIsAnErrorAndCloseStillWorks) {
  const RunDescription run = mlp_run();
  Hdf5Sink sink(path_);
  SampleRows source(run, RowLayout(run));
  sink.open(run, source.layout());
  sink.write(source.rows(0, 2));
  sink.flush();
  auto rows = source.rows(2, 1);
  rows[0].scalars.pop_back();
  EXPECT_NE(error_of([&] { sink.write(rows); }).find("3 scalars"), std::string::npos);
  EXPECT_NE(error_of([&] { sink.flush(); }).find("earlier error"), std::string::npos);
  EXPECT_NO_THROW(sink.close());
  expect_sample_rows(RunFile(path_), 2);
}

TEST_F(Hdf5SinkTest, CallsBeforeOpenAndAfterCloseAreErrors) {
  const RunDescription run = mlp_run();
  Hdf5Sink sink(path_);
  EXPECT_THROW(sink.flush(), Error);
  EXPECT_NO_THROW(sink.close());
  SampleRows source(run, RowLayout(run));
  sink.open(run, source.layout());
  sink.close();
  EXPECT_NO_THROW(sink.close());
  EXPECT_THROW(sink.write(source.rows(0, 1)), Error);
  EXPECT_THROW(sink.open(run, source.layout()), Error);
}

TEST_F(Hdf5SinkTest, EventsComeBackAndLongMessagesAreCutBetweenCharacters) {
  const RunDescription run = mlp_run();
  Hdf5Sink sink(path_);
  sink.open(run, RowLayout(run));
  std::string umlauts;
  for (int i = 0; i < 200; ++i) {
    umlauts += "ä";
  }
  sink.write(Event{3, 1.5, EventCode::kBudgetDecision, 4, "every 4 steps"});
  sink.flush();
  sink.write(Event{5, 2.5, EventCode::kError, std::nan(""), "x" + umlauts});
  sink.close();
  const auto events = RunFile(path_).events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].step, 3);
  EXPECT_EQ(events[0].time, 1.5);
  EXPECT_EQ(events[0].code, EventCode::kBudgetDecision);
  EXPECT_EQ(events[0].value, 4);
  EXPECT_EQ(events[0].message, "every 4 steps");
  EXPECT_TRUE(std::isnan(events[1].value));
  EXPECT_EQ(events[1].message, "x" + umlauts.substr(0, 254));
}

TEST_F(Hdf5SinkTest, EveryFsyncOptionWritesTheSameRun) {
  for (const Fsync when : {Fsync::kNever, Fsync::kEpoch, Fsync::kClose}) {
    write_run(path_, mlp_run(), {2, 2}, Hdf5Options().overwrite(true).fsync(when));
    expect_sample_rows(RunFile(path_), 4);
  }
}

TEST_F(Hdf5SinkTest, BytesWrittenIsTheFile) {
  const RunDescription run = mlp_run();
  Hdf5Sink sink(path_);
  EXPECT_EQ(sink.bytes_written(), 0);
  SampleRows source(run, RowLayout(run));
  sink.open(run, source.layout());
  sink.write(source.rows(0, 5));
  sink.flush();
  EXPECT_EQ(sink.bytes_written(), static_cast<int64_t>(std::filesystem::file_size(path_)));
  sink.close();
  EXPECT_EQ(sink.bytes_written(), static_cast<int64_t>(std::filesystem::file_size(path_)));
}

TEST_F(Hdf5SinkTest, LongConfigAndManyLayersComeBack) {
  RunDescription run;
  sample_provenance(run);
  run.config = R"({"note": ")" + std::string(200'000, 'x') + "\"}";
  run.histogram = Histogram::kOff;
  for (int i = 0; i < 1100; ++i) {
    run.node_layers.push_back(plain_layer("layer" + std::to_string(i), Role::kHidden, 2));
  }
  write_run(path_, run, {2});
  const RunFile file(path_);
  expect_same(file.description(), run);
  expect_sample_rows(file, 2);
}

TEST_F(Hdf5SinkTest, HistogramOfEveryRowIsRemembered) {
  RunDescription run = mlp_run();
  run.histogram = Histogram::kEveryRow;
  write_run(path_, run, {1});
  EXPECT_EQ(RunFile(path_).description().histogram, Histogram::kEveryRow);
}

TEST_F(Hdf5SinkTest, ClassesExpandToUnits) {
  write_run(path_, conv_run(), {2});
  const RunFile file(path_);
  const auto stored = file.read("/nodes/000_conv1/strength", 1, 1);
  const auto map = file.unit_map(file.node_layer("conv1"), 1);
  const int rows[] = {0, 1, 1, 1, 2};
  const int columns[] = {0, 1, 1, 0};
  ASSERT_EQ(map.size(), 40U);
  for (size_t c = 0, i = 0; c < 2; ++c) {
    for (const int y : rows) {
      for (const int x : columns) {
        EXPECT_EQ(map[i++], stored[c * 6 + static_cast<size_t>(y * 2 + x)]);
      }
    }
  }
  EXPECT_THROW(file.unit_map(0, 1, "in_strength"), Error);
  EXPECT_THROW(file.unit_map(2, 1), Error);
  EXPECT_THROW(file.unit_map(0, 2), Error);
}

TEST_F(Hdf5SinkTest, ReaderNamesWhatThereIs) {
  write_run(path_, mlp_run(), {2});
  const RunFile file(path_);
  EXPECT_NE(error_of([&] { file.node_layer("fc9"); }).find("block/fc1"), std::string::npos);
  EXPECT_NE(error_of([&] { file.scalar("lost"); }).find("loss, accuracy"), std::string::npos);
  EXPECT_NE(error_of([&] { file.read("/nodes/fluctuation", 1, 2); }).find("2 are committed"), std::string::npos);
  EXPECT_NE(error_of([&] { file.read("/nodes/fluctuation", -1, 1); }).find("-1"), std::string::npos);
  EXPECT_NE(error_of([&] { file.read("/links/count", 0, 1); }).find("/links/count"), std::string::npos);
  EXPECT_NE(error_of([&] { file.read("", 0, 1); }).find("no per-row dataset"), std::string::npos);
}

}  // namespace
}  // namespace dynascope::testing
