// SPDX-License-Identifier: BSD-3-Clause
#include "runfile/file_space.hpp"

#include "sample_run.hpp"
#include "temporary_folder.hpp"

#include <dynascope/hdf5_sink.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace dynascope {
namespace {

using h5::FileSpace;

constexpr uint64_t kPage = 4096;

struct Block {
  uint64_t address;
  uint64_t size;
  bool metadata;
};

std::vector<Block> blocks_of(FileSpace& space, uint64_t& end, unsigned seed, int count) {
  std::mt19937 random(seed);
  std::vector<Block> blocks;
  for (int i = 0; i < count; ++i) {
    const bool metadata = random() % 4 != 0;
    const uint64_t largest = random() % 16 == 0 ? 20000 : 1200;
    const uint64_t size = 1 + random() % largest;
    blocks.push_back(
        {space.allocate(metadata ? FileSpace::Holds::kMetadata : FileSpace::Holds::kRows, size, end), size, metadata});
  }
  return blocks;
}

TEST(FileSpace, BlocksDoNotOverlapAndSmallMetadataStaysInItsPage) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FileSpace space;
    uint64_t end = 0;
    std::vector<Block> blocks = blocks_of(space, end, seed, 2000);
    uint64_t used = 0;
    for (const auto& [address, size, metadata] : blocks) {
      used += size;
      EXPECT_LE(address + size, end);
      if (metadata) {
        EXPECT_LT(address + size, end) << "HDF5 may lengthen the last block of a file";
        EXPECT_TRUE(size > kPage || address / kPage == (address + size - 1) / kPage) << address << ", " << size;
      } else {
        EXPECT_EQ(address % 8, 0u) << "a number may lie across two pages";
      }
    }
    std::sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.address < b.address; });
    for (size_t i = 1; i < blocks.size(); ++i) {
      EXPECT_GE(blocks[i].address, blocks[i - 1].address + blocks[i - 1].size);
    }
    EXPECT_LT(static_cast<double>(end), 1.25 * static_cast<double>(used));
  }
}

TEST(FileSpace, TheFirstBlockIsAtTheBeginning) {
  FileSpace space;
  uint64_t end = 0;
  EXPECT_EQ(space.allocate(FileSpace::Holds::kMetadata, 48, end), 0u);
}

// A chunk of rows used to end a page: of a layer whose rows fill no page evenly, up to a third of the file was lost.
TEST(FileSpace, ALongRunTakesThePlaceOfItsNumbers) {
  const testing::TemporaryFolder folder;
  const RunDescription run = testing::mlp_run();
  testing::SampleRows source(run, RowLayout(run));
  Hdf5Sink sink(folder.file("long.h5"));
  sink.open(run, source.layout());
  sink.flush();
  const int64_t before = sink.bytes_written();
  constexpr int64_t kRows = 20 * 256;
  for (int64_t row = 0; row < kRows; row += 256) {
    sink.write(source.rows(row, 256));
    sink.flush();
  }
  const int64_t columns = 5 * 8 + 1 + static_cast<int64_t>(run.scalars.size()) * 8;
  EXPECT_LT(static_cast<double>(sink.bytes_written() - before),
            1.04 * static_cast<double>(kRows * (source.layout().bytes() + columns)));
  sink.close();
}

}  // namespace
}  // namespace dynascope
