// SPDX-License-Identifier: BSD-3-Clause
#include "child.hpp"
#include "expectations.hpp"
#include "sample_run.hpp"
#include "temporary_folder.hpp"

#include <dynascope/error.hpp>
#include <dynascope/population_file.hpp>
#include <dynascope/recover.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <unistd.h>

namespace dynascope::testing {
namespace {

class PopulationTest : public ::testing::Test {
 protected:
  // Members `first` to `first + count - 1`, in blocks of `block`.
  void write(int64_t first, int64_t count, int64_t block, PopulationOptions options = {}) {
    PopulationWriter writer(path_, options);
    writer.open(population_);
    append(writer, first, count, block);
    writer.close();
  }

  void append(PopulationWriter& writer, int64_t first, int64_t count, int64_t block) {
    SampleRows source(population_, RowLayout(population_));
    for (int64_t done = 0; done < count; done += block) {
      writer.write(sample_members(source, first + done, std::min(block, count - done)));
      writer.flush();
    }
  }

  void expect_members(int64_t members) {
    expect_valid(path_);
    const PopulationFile file(path_);
    ASSERT_EQ(file.members(), members);
    const MemberIndex index = file.index();
    SampleRows source(population_, RowLayout(population_));
    const std::vector<Member> expected = sample_members(source, 0, members);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(index.net[i], expected[i].net);
      EXPECT_EQ(index.epoch[i], expected[i].epoch);
      EXPECT_EQ(index.step[i], expected[i].step);
      EXPECT_EQ(index.seed[i], expected[i].seed);
      EXPECT_TRUE(same_bits(file.scalar("test/error")[i], expected[i].scalars[2]));
    }
    const auto position = file.read("/member/member", 0, members);
    int64_t wrong = 0;
    const RowLayout layout(population_);
    for (size_t number = 0; number < layout.spans().size(); ++number) {
      const Span& span = layout.spans()[number];
      const auto values = file.read(span.path, 0, members);
      for (int64_t i = 0; i < members * span.count; ++i) {
        const double factor = span.type == RowType::kInt64 ? 16 : 1;
        const double one = factor * sample_value(i / span.count, static_cast<int64_t>(number), i % span.count);
        wrong += !same_bits(values[static_cast<size_t>(i)], one);
      }
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(position.back(), static_cast<double>(members - 1));
  }

  std::string refusal(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was refused";
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("population.h5");
  RunDescription population_ = sample_population();
};

TEST_F(PopulationTest, MembersComeBackHoweverTheyWereBlocked) {
  write(0, 500, 37);
  expect_members(500);
  expect_same(PopulationFile(path_).description(), population_);
  EXPECT_EQ(schema_of(path_), "dynascope-population");
}

TEST_F(PopulationTest, NetsOfAConvolutionKeepTheirClasses) {
  population_ = conv_run();
  population_.scalars = {"accuracy", "loss", "test/error"};
  write(0, 5, 2);
  expect_members(5);
  expect_same(PopulationFile(path_).description(), population_);
}

TEST_F(PopulationTest, ResumedFileHoldsWhatWasThereAndTheRest) {
  const auto resume = PopulationOptions().resume(true);
  write(0, 40, 40, resume);  // none there yet
  PopulationWriter writer(path_, resume);
  writer.open(population_);
  EXPECT_TRUE(writer.has(0, 1));
  EXPECT_TRUE(writer.has(13, 1));
  EXPECT_FALSE(writer.has(13, 2));
  append(writer, 40, 23, 10);
  writer.close();
  expect_members(63);
  const std::string history = PopulationFile(path_).provenance().history;
  EXPECT_NE(history.find("resumed by"), std::string::npos) << history;
}

TEST_F(PopulationTest, KilledWriterLosesWhatWasNotFlushedAndGoesOn) {
  Pipe written;
  Child child([&] {
    PopulationWriter writer(path_);
    writer.open(population_);
    append(writer, 0, 30, 10);
    SampleRows source(population_, RowLayout(population_));
    writer.write(sample_members(source, 30, 5));
    written.send();
    ::pause();
    return 0;
  });
  written.receive();
  child.kill();
  {
    const PopulationFile left(path_);
    EXPECT_EQ(left.members(), 30);
    EXPECT_TRUE(left.in_progress());
    EXPECT_FALSE(left.has_writer());
  }
  PopulationWriter writer(path_, PopulationOptions().resume(true));
  writer.open(population_);
  EXPECT_FALSE(writer.has(10, 1));
  append(writer, 30, 20, 20);
  writer.close();
  expect_members(50);
}

TEST_F(PopulationTest, OneThatIsBeingWrittenIsNotResumed) {
  PopulationWriter first(path_);
  first.open(population_);
  PopulationWriter second(path_, PopulationOptions().resume(true));
  EXPECT_NE(refusal([&] { second.open(population_); }).find("another process still writes this population"),
            std::string::npos);
}

TEST_F(PopulationTest, OtherNetworksAreRefusedAndTheFirstDifferenceNamed) {
  write(0, 3, 3);
  const auto refused = [&](const std::function<void(RunDescription&)>& change) {
    RunDescription other = population_;
    change(other);
    return refusal([&] { PopulationWriter(path_, PopulationOptions().resume(true)).open(other); });
  };
  const auto expect_named = [&](const std::string& what, const std::string& message) {
    EXPECT_NE(message.find(what), std::string::npos) << message;
    EXPECT_NE(message.find(path_), std::string::npos) << message;
  };
  expect_named("name of node layer 1 is 'block/fc1' in the file and 'fc1' now",
               refused([](RunDescription& d) { d.node_layers[1].name = "fc1"; }));
  expect_named("option bias is 'in' in the file and 'none' now",
               refused([](RunDescription& d) { d.metrics.bias(Bias::kNone); }));
  expect_named("option scalars", refused([](RunDescription& d) { d.scalars.pop_back(); }));
  expect_named("edges of the histograms", refused([](RunDescription& d) { d.histogram_edges[0] -= 1; }));
  expect_members(3);
}

TEST_F(PopulationTest, NoMemberIsWrittenTwice) {
  PopulationWriter writer(path_);
  writer.open(population_);
  append(writer, 0, 4, 4);
  const std::string message = refusal([&] { append(writer, 3, 2, 2); });
  EXPECT_NE(message.find("network 1 at epoch 1 is in"), std::string::npos) << message;
  append(writer, 4, 2, 2);  // the refused block left nothing behind
  writer.close();
  expect_members(6);
}

TEST_F(PopulationTest, WhatAPopulationCannotHoldIsRefusedBeforeAFileIsThere) {
  const auto refused = [&](const std::function<void(RunDescription&)>& change) {
    RunDescription other = population_;
    change(other);
    return refusal([&] { PopulationWriter(path_).open(other); });
  };
  EXPECT_NE(refused([](RunDescription& d) { d.scalars.push_back("net"); }).find("cannot be called 'net'"),
            std::string::npos);
  EXPECT_NE(refused([](RunDescription& d) {
              d.parameters = {{"w", {2}, false}};
            }).find("holds no parameters"),
            std::string::npos);
  EXPECT_NE(refused([](RunDescription& d) { d.histogram = Histogram::kEpochEnds; }).find("of every member or of none"),
            std::string::npos);
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
}

TEST_F(PopulationTest, ExistingFileIsKeptUnlessOverwritten) {
  write(0, 3, 3);
  EXPECT_NE(refusal([&] { write(0, 6, 3); }).find("exists already"), std::string::npos);
  expect_members(3);
  write(0, 6, 3, PopulationOptions().overwrite(true));
  expect_members(6);
}

TEST_F(PopulationTest, RunFilesAndPopulationFilesAreToldApart) {
  write(0, 3, 3);
  EXPECT_NE(refusal([&] { RunFile run(path_); }).find("it is no run file"), std::string::npos);
  const std::string run = folder_.file("run.h5");
  Hdf5Sink sink(run);
  sink.open(mlp_run(), RowLayout(mlp_run()));
  sink.close();
  EXPECT_NE(refusal([&] { PopulationFile population(run); }).find("it is no population file"), std::string::npos);
}

TEST_F(PopulationTest, RecoveredCopyHasEveryMember) {
  write(0, 100, 33);
  const std::string copy = folder_.file("copy.h5");
  EXPECT_EQ(recover(path_, copy, RecoverOptions().compress(true)).rows, 100);
  path_ = copy;
  expect_members(100);
}

}  // namespace
}  // namespace dynascope::testing
