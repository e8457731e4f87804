// SPDX-License-Identifier: BSD-3-Clause
#include "child.hpp"
#include "expectations.hpp"
#include "sample_run.hpp"
#include "temporary_folder.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/run_file.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <sys/resource.h>

namespace dynascope::testing {
namespace {

enum Outcome { kFine = 0, kOpenFailed = 10, kWriteFailed = 11, kCloseFailed = 12, kWrongMessage = 13, kWroteOn = 14 };

void limit_file_size(rlim_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// A training run on a disk that takes `bytes`: says where it failed, and exits through HDF5's exit handlers.
int run_on_full_disk(const std::string& path, rlim_t bytes, const RunDescription& run) {
  limit_file_size(bytes);
  SampleRows source(run, RowLayout(run));
  Hdf5Sink sink(path);
  const auto told = [](const Error& error, int outcome) {
    const bool clear = std::strstr(error.what(), "File too large") != nullptr;
    return clear ? outcome : static_cast<int>(kWrongMessage);
  };
  try {
    sink.open(run, source.layout());
  } catch (const Error& error) {
    return told(error, kOpenFailed);
  }
  for (int64_t row = 0; row < 2000; row += 20) {
    try {
      sink.write(source.rows(row, 20));
      sink.write(Event{row, 0, EventCode::kReplanned, 0, "event"});
      sink.flush();
    } catch (const Error& error) {
      try {
        sink.write(source.rows(row, 20));
        return kWroteOn;
      } catch (const Error&) {
      }
      sink.close();
      return told(error, kWriteFailed);
    }
  }
  try {
    sink.close();
  } catch (const Error& error) {
    return told(error, kCloseFailed);
  }
  return kFine;
}

// HDF5 1.10 crashed at exit after a failed flush; every size fails somewhere else.
TEST(FullDiskTest, IsOneErrorAndAnOrderlyExitWhereverItHits) {
  const TemporaryFolder folder;
  const RunDescription run = mlp_run();
  int failed_at_open = 0;
  int failed_later = 0;
  int64_t most_rows = 0;
  for (rlim_t bytes = 500; bytes < 900'000; bytes += bytes < 60'000 ? 19'919 : 49'989) {
    SCOPED_TRACE("file size limited to " + std::to_string(bytes));
    const std::string path = folder.file(std::to_string(bytes) + ".h5");
    Child child([&] { return run_on_full_disk(path, bytes, run); });
    const int outcome = child.wait();
    ASSERT_TRUE(outcome == kOpenFailed || outcome == kWriteFailed) << outcome;
    if (outcome == kOpenFailed) {
      ++failed_at_open;
      EXPECT_FALSE(std::filesystem::exists(path));
      continue;
    }
    ++failed_later;
    RunFile file(path);
    expect_sample_rows(file, file.rows());
    expect_valid(path);
    EXPECT_EQ(file.rows() % 20, 0);
    EXPECT_LE(file.events().size(), static_cast<size_t>(file.rows() / 20));
    most_rows = std::max(most_rows, file.rows());
  }
  EXPECT_GE(failed_at_open, 2);
  EXPECT_GT(failed_later, 10);
  EXPECT_GT(most_rows, 20);
}

TEST(FullDiskTest, RowLargerThanHdf5sCachesFailsTheSameWay) {
  const TemporaryFolder folder;
  RunDescription run;
  run.histogram = Histogram::kOff;
  run.parameters = {{"large", {1024, 1024}, false}};
  Child child([&] { return run_on_full_disk(folder.file("run.h5"), 10'000'000, run); });
  EXPECT_EQ(child.wait(), kWriteFailed);
}

// More metadata than HDF5 keeps in memory: it reads back what did not reach the disk.
TEST(FullDiskTest, RunOfManyLayersFailsTheSameWay) {
  const TemporaryFolder folder;
  RunDescription run;
  run.histogram = Histogram::kOff;
  for (int i = 0; i < 1400; ++i) {
    run.node_layers.push_back(plain_layer("layer" + std::to_string(i), Role::kHidden, 2));
  }
  Child child([&] { return run_on_full_disk(folder.file("run.h5"), 200'000, run); });
  EXPECT_EQ(child.wait(), kOpenFailed);
}

TEST(FullDiskTest, RoomEnoughIsNoError) {
  const TemporaryFolder folder;
  Child child([&] { return run_on_full_disk(folder.file("run.h5"), 64'000'000, conv_run()); });
  EXPECT_EQ(child.wait(), kFine);
  expect_sample_rows(RunFile(folder.file("run.h5")), 2000);
}

TEST(AbandonedSinkTest, DestructorWithoutCloseLeavesAReadableFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("run.h5");
  const RunDescription run = mlp_run();
  {
    SampleRows source(run, RowLayout(run));
    Hdf5Sink sink(path);
    sink.open(run, source.layout());
    sink.write(source.rows(0, 4));
    sink.flush();
    sink.write(source.rows(4, 4));
  }
  expect_sample_rows(RunFile(path), 4);
  expect_valid(path);
}

TEST(SilenceTest, UsersErrorPrintingSurvives) {
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(RunFile("/proc/self/cmdline"), Error);
  EXPECT_THROW(Hdf5Sink("/proc/run.h5").open(mlp_run(), RowLayout(mlp_run())), Error);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace dynascope::testing
