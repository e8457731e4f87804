// SPDX-License-Identifier: BSD-3-Clause
// The IDX reader of the programs that train: what it reads, and what it says about files that are none.
#include "../../examples/train/data.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

class Idx : public testing::Test {
 protected:
  Idx() : folder_(testing::TempDir() + "dynascope-idx-XXXXXX") { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  ~Idx() override {
    for (const std::string& path : written_) {
      unlink(path.c_str());
    }
    rmdir(folder_.c_str());
  }

  std::string file(const std::string& name, const std::vector<uint8_t>& bytes) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    written_.push_back(path);
    return path;
  }

  // Two by two pixels; image i is filled with i, label i is i modulo 10.
  void pair(const std::string& part, uint8_t count, uint8_t labels) {
    std::vector<uint8_t> pixels{0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2};
    for (int i = 0; i < count; ++i) {
      pixels.insert(pixels.end(), 4, static_cast<uint8_t>(i));
    }
    std::vector<uint8_t> classes{0, 0, 8, 1, 0, 0, 0, labels};
    for (int i = 0; i < labels; ++i) {
      classes.push_back(static_cast<uint8_t>(i % 10));
    }
    file(part + "-images-idx3-ubyte", pixels);
    file(part + "-labels-idx1-ubyte", classes);
  }

  std::string folder_;
  std::vector<std::string> written_;
};

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

testing::AssertionResult says(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (message.find(part) == std::string::npos) {
      return testing::AssertionFailure() << "'" << message << "' does not say '" << part << "'";
    }
  }
  return testing::AssertionSuccess();
}

TEST_F(Idx, ReadsShapeAndValuesInFileOrder) {
  const auto path = file("a", {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255});
  const auto values = examples::read_idx(path, 3);
  EXPECT_EQ(values.sizes(), (std::vector<int64_t>{2, 1, 3}));
  EXPECT_TRUE(values.flatten().equal(torch::tensor({1, 2, 3, 4, 5, 255}, torch::kByte)));
}

TEST_F(Idx, BadMagicNumberIsNamedWithTheExpectedOne) {
  const auto compressed = file("a", {0x1f, 0x8b, 8, 3, 0, 0, 0, 1, 0});
  EXPECT_TRUE(says(message_of([&] { examples::read_idx(compressed, 1); }), {"2049", "529205251", "compressed"}));
  const auto images_for_labels = file("b", {0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_TRUE(says(message_of([&] { examples::read_idx(images_for_labels, 1); }), {"2049", "2051"}));
}

TEST_F(Idx, ShortFileSaysHowManyBytesAreThere) {
  const auto path = file("a", {0, 0, 8, 1, 0, 0, 0, 5, 1, 2, 3});
  EXPECT_TRUE(says(message_of([&] { examples::read_idx(path, 1); }), {"announces 5", "3 are there"}));
}

TEST_F(Idx, TrailingBytesAreAnError) {
  const auto path = file("a", {0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3});
  EXPECT_TRUE(says(message_of([&] { examples::read_idx(path, 1); }), {"announces 2", "3 are there"}));
}

TEST_F(Idx, FileThatEndsInItsHeaderIsAnError) {
  EXPECT_TRUE(says(message_of([&] { examples::read_idx(file("a", {}), 1); }), {"header"}));
  EXPECT_TRUE(says(message_of([&] { examples::read_idx(file("b", {0, 0, 8, 3, 0, 0}), 3); }), {"header"}));
}

TEST_F(Idx, SizesThatOverflowAreRefusedBeforeAnythingIsAllocated) {
  const auto path = file("a", {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255});
  EXPECT_TRUE(says(message_of([&] { examples::read_idx(path, 3); }), {"2^40"}));
}

TEST_F(Idx, MissingFilesAreNamed) {
  EXPECT_TRUE(says(message_of([&] { examples::load_images(folder_, 1); }), {folder_, "t10k-images-idx3-ubyte"}));
}

TEST_F(Idx, FourFilesKeepTheirParts) {
  pair("train", 12, 12);
  pair("t10k", 5, 5);
  const auto data = examples::load_images(folder_, 1);
  EXPECT_EQ(data.train.images.sizes(), (std::vector<int64_t>{12, 1, 2, 2}));
  EXPECT_EQ(data.test.size(), 5);
  EXPECT_FLOAT_EQ(data.train.images[7][0][1][1].item<float>(), 7.0F / 255);
  EXPECT_EQ(data.train.labels[11].item<int64_t>(), 1);
}

TEST_F(Idx, TestPairAloneIsSplitFourToOneBySeed) {
  pair("t10k", 100, 100);
  const auto data = examples::load_images(folder_, 7);
  EXPECT_EQ(data.train.size(), 80);
  EXPECT_EQ(data.test.size(), 20);
  const auto pixels = torch::cat({data.train.images, data.test.images}).select(1, 0).select(1, 0).select(1, 0);
  const auto numbers = (pixels * 255).round().to(torch::kLong);
  EXPECT_TRUE(std::get<0>(numbers.sort()).equal(torch::arange(100))) << "every image in exactly one part";
  EXPECT_TRUE(torch::cat({data.train.labels, data.test.labels}).equal(numbers % 10)) << "labels stay with images";
  EXPECT_TRUE(data.train.images.equal(examples::load_images(folder_, 7).train.images));
  EXPECT_FALSE(data.train.images.equal(examples::load_images(folder_, 8).train.images));
}

TEST_F(Idx, PartsThatDoNotFitTogetherAreNamed) {
  pair("t10k", 5, 4);
  EXPECT_TRUE(says(message_of([&] { examples::load_images(folder_, 1); }), {"got 5", "and 4"}));
}

TEST_F(Idx, LabelOutOfRangeIsNamed) {
  pair("t10k", 2, 2);
  file("t10k-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 2, 3, 10});
  EXPECT_TRUE(says(message_of([&] { examples::load_images(folder_, 1); }), {"0 to 9", "got 10"}));
}

}  // namespace
