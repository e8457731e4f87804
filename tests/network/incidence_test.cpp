// SPDX-License-Identifier: BSD-3-Clause
#include "network/incidence.hpp"

#include <dynascope/error.hpp>

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace dynascope::network {
namespace {

using Table = std::vector<double>;

// Size 4, kernel 3, padding 1: output o meets input o - 1 + tap.
TEST(Incidence, TapsOnPaddingAreNoLinks) {
  const ConvolutionAxis axis{4, 4, 3, 1, 1, 1};
  EXPECT_EQ(in_coefficients(axis, false, nullptr, Padding::kTrueEdges), (Table{0, 1, 1, 1,     //
                                                                               1, 1, 1, 1,     //
                                                                               1, 1, 1, 0}));  //
  EXPECT_EQ(in_coefficients(axis, false, nullptr, Padding::kAllTaps), Table(12, 1.0));
  EXPECT_EQ(out_coefficients(axis, false, nullptr), (Table{1, 1, 1, 0,     //
                                                           1, 1, 1, 1,     //
                                                           0, 1, 1, 1}));  //
}

// Size 5, kernel 1, stride 2: outputs 0, 1, 2 read inputs 0, 2, 4.
TEST(Incidence, StridesSkipInputs) {
  EXPECT_EQ(out_coefficients({5, 3, 1, 2, 0, 1}, false, nullptr), (Table{1, 0, 1, 0, 1}));
}

// Transposed, size 2, kernel 2, stride 2: input i writes outputs 2 i + tap.
TEST(Incidence, TransposedExchangesInputAndOutput) {
  const ConvolutionAxis axis{2, 4, 2, 2, 0, 1};
  for (const Padding padding : {Padding::kTrueEdges, Padding::kAllTaps}) {
    EXPECT_EQ(in_coefficients(axis, true, nullptr, padding), (Table{1, 0, 1, 0,     //
                                                                    0, 1, 0, 1}));  //
  }
  EXPECT_EQ(out_coefficients(axis, true, nullptr), Table(4, 1.0));
}

// A 2-wide average of stride 2 behind a kernel of 3 with padding 1 on four coordinates.
TEST(Incidence, ResamplingCarriesItsCoefficients) {
  const ConvolutionAxis axis{4, 4, 3, 1, 1, 1};
  const Resampling pool{4, 2, {0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5}};
  EXPECT_EQ(in_coefficients(axis, false, &pool, Padding::kTrueEdges), (Table{0.5, 1, 1, 1, 1, 0.5}));
  EXPECT_EQ(out_coefficients(axis, false, &pool), (Table{0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5}));
  EXPECT_EQ(constant_coefficients(4, &pool), (Table{1, 1}));
  EXPECT_EQ(constant_coefficients(3, nullptr), (Table{1, 1, 1}));
}

TEST(Incidence, ResamplingOfAnotherSizeIsAnError) {
  const Resampling pool{3, 1, {1, 1, 1}};
  EXPECT_THROW(in_coefficients({4, 4, 1, 1, 0, 1}, false, &pool, Padding::kTrueEdges), Error);
  EXPECT_THROW(out_coefficients({4, 4, 1, 1, 0, 1}, false, &pool), Error);
  EXPECT_THROW(constant_coefficients(4, &pool), Error);
}

// Every link has two ends: taps seen from the inputs are as many as seen from the outputs.
TEST(Incidence, BothEndsCountTheSameLinks) {
  std::mt19937_64 random(7);
  const auto pick = [&](uint64_t low, uint64_t high) {
    return static_cast<int64_t>(low + random() % (high - low + 1));
  };
  for (int i = 0; i < 500; ++i) {
    ConvolutionAxis axis{pick(1, 20), 0, pick(1, 5), pick(1, 4), pick(0, 4), pick(1, 3)};
    const bool transposed = i % 2 == 1;
    const int64_t reach = axis.dilation * (axis.kernel - 1) + 1;
    const int64_t room = axis.input + 2 * axis.padding - reach;
    axis.output = transposed ? (axis.input - 1) * axis.stride - 2 * axis.padding + reach
                             : (room < 0 ? 0 : room / axis.stride + 1);
    if (axis.output < 1) {
      continue;
    }
    SCOPED_TRACE("draw " + std::to_string(i) + " of seed 7");
    const Table in = in_coefficients(axis, transposed, nullptr, Padding::kTrueEdges);
    const Table out = out_coefficients(axis, transposed, nullptr);
    for (int64_t tap = 0; tap < axis.kernel; ++tap) {
      double links_in = 0;
      double links_out = 0;
      for (int64_t o = 0; o < axis.output; ++o) {
        links_in += in[static_cast<size_t>(tap * axis.output + o)];
      }
      for (int64_t o = 0; o < axis.input; ++o) {
        links_out += out[static_cast<size_t>(tap * axis.input + o)];
      }
      ASSERT_EQ(links_in, links_out) << "tap " << tap;
    }
  }
}

TEST(Incidence, EqualColumnsAreOneClass) {
  const Classes classes = classes_of(5, {{0, 1, 1, 1, 0}, {2, 2, 2, 3, 2}}, false);
  EXPECT_EQ(classes.of, (std::vector<int32_t>{0, 1, 1, 2, 0}));
  EXPECT_EQ(classes.first, (std::vector<int64_t>{0, 1, 3}));
  EXPECT_EQ(classes.size, (std::vector<int64_t>{2, 2, 1}));
}

TEST(Incidence, WithoutTablesThereIsOneClassUnlessToldApart) {
  EXPECT_EQ(classes_of(3, {}, false).size, (std::vector<int64_t>{3}));
  EXPECT_EQ(classes_of(3, {}, true).of, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_TRUE(classes_of(0, {}, false).of.empty());
}

}  // namespace
}  // namespace dynascope::network
