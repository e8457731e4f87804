// SPDX-License-Identifier: BSD-3-Clause
#include "population/stack.hpp"

#include "population/benchmark.hpp"
#include "population/initialiser.hpp"
#include "population/trainer.hpp"

#include <dynascope/row_layout.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>

namespace examples {
namespace {

// Images with a bright square whose place tells the class, under noise.
LabelledImages squares(int64_t count, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  LabelledImages data{at::rand({count, 1, 8, 8}, generator).mul_(0.5),
                      at::randint(0, 10, {count}, generator, at::kLong)};
  for (int64_t i = 0; i < count; ++i) {
    const auto label = data.labels[i].item<int64_t>();
    data.images[i][0].slice(0, label / 4 * 2, label / 4 * 2 + 2).slice(1, label % 4 * 2, label % 4 * 2 + 2).fill_(1);
  }
  return data;
}

class StackTest : public ::testing::TestWithParam<const char*> {
 protected:
  StackTest() : data_{squares(300, 1), squares(100, 2), 10}, trainer_(protocol(), data_) {}

  static Protocol protocol() {
    Protocol made;
    made.model = GetParam();
    made.hidden = made.model == "fc" ? 16 : 3;
    made.init = "any";
    made.scale = 0.1;
    made.most_epochs = 3;
    made.batch_size = 32;
    made.seed = 5;
    return made;
  }

  // With SGD and with Adam, of each length.
  Group mixed() const {
    Group group;
    for (const bool adam : {false, true}) {
      for (int64_t epochs = 1; epochs <= 3; ++epochs) {
        Net net = draw(protocol(), static_cast<int64_t>(group.size()));
        net.adam = adam;
        net.epochs = epochs;
        net.cut = false;
        group.push_back(net);
      }
    }
    return group;
  }

  // The largest difference of any measured value, relative to the largest value of its dataset in `b`; infinite where
  // counts differ.
  double difference(const std::vector<std::byte>& a, const std::vector<std::byte>& b) const {
    double worst = 0;
    const dynascope::RowLayout layout(trainer_.describe());
    for (const dynascope::Span& span : layout.spans()) {
      const auto tensor = [&](const std::vector<std::byte>& block) {
        const auto type = span.type == dynascope::RowType::kFloat32   ? at::kFloat
                          : span.type == dynascope::RowType::kFloat64 ? at::kDouble
                                                                      : at::kLong;
        return at::from_blob(const_cast<std::byte*>(block.data()) + span.offset, {span.count}, type).to(at::kDouble);
      };
      const double size = std::max(tensor(b).abs().max().item<double>(), 1e-3);
      worst = std::max(worst, (tensor(a) - tensor(b)).abs().max().item<double>() / size);
    }
    return worst;
  }

  DataSet data_;
  Trainer trainer_;
};

TEST_P(StackTest, NetTrainedAmongOthersEqualsTheSameNetInPlainLibTorch) {
  const Group group = mixed();
  const Trained together = trainer_.train(group, trainer_.describe());
  std::map<std::pair<int64_t, int64_t>, size_t> positions;
  for (size_t i = 0; i < together.members.size(); ++i) {
    positions[{together.members[i].net, together.members[i].epoch}] = i;
  }
  ASSERT_EQ(positions.size(), 12U);
  double apart = std::numeric_limits<double>::infinity();
  for (const Net& net : group) {
    const Trained alone = train_alone(trainer_, net, trainer_.describe());
    ASSERT_EQ(static_cast<int64_t>(alone.members.size()), net.epochs);
    for (size_t i = 0; i < alone.members.size(); ++i) {
      const dynascope::Member& expected = alone.members[i];
      const size_t at = positions.at({net.number, expected.epoch});
      const dynascope::Member& got = together.members[at];
      EXPECT_EQ(got.step, expected.step);
      EXPECT_EQ(got.seed, expected.seed);
      EXPECT_NEAR(got.scalars[0], expected.scalars[0], 0.011) << "accuracy";  // a tie may fall either way
      EXPECT_NEAR(got.scalars[1], expected.scalars[1], 1e-4 * (1 + expected.scalars[1])) << "loss";
      EXPECT_LT(difference(together.blocks[at], alone.blocks[i]), 2e-4)
          << "net " << net.number << (net.adam ? " with Adam" : " with SGD") << ", epoch " << expected.epoch;
      // Another network's row would not have passed.
      const size_t other = positions.at({net.number == 0 ? 1 : 0, 1});
      apart = std::min(apart, difference(together.blocks[other], alone.blocks[i]));
    }
  }
  EXPECT_GT(apart, 0.02);
}

TEST_P(StackTest, NetTrainedAmongOthersEqualsItInAStackOfOne) {
  const Group group = mixed();
  const Trained together = trainer_.train(group, trainer_.describe());
  for (const Net& net : group) {
    const Trained alone = trainer_.train({net}, trainer_.describe());
    size_t epoch = 0;
    for (size_t i = 0; i < together.members.size(); ++i) {
      if (together.members[i].net == net.number) {
        EXPECT_LT(difference(together.blocks[i], alone.blocks.at(epoch)), 2e-4) << net.number << ", " << epoch;
        EXPECT_EQ(together.members[i].epoch, static_cast<int64_t>(++epoch));
      }
    }
    EXPECT_EQ(static_cast<int64_t>(epoch), net.epochs);
  }
}

TEST_P(StackTest, SameGroupGivesTheSameBits) {
  const Trained first = trainer_.train(mixed(), trainer_.describe());
  const Trained again = trainer_.train(mixed(), trainer_.describe());
  EXPECT_EQ(first.blocks, again.blocks);
}

TEST_P(StackTest, NanNetIsCountedAndLeavesItsNeighboursAlone) {
  const auto trained = [&](bool poisoned) {
    Stack stack(trainer_.layers(), mixed(), 0.1);
    if (poisoned) {
      stack.parameters()[2].value[1].fill_(std::numeric_limits<float>::quiet_NaN());
      stack.parameters()[2].value[4].fill_(std::numeric_limits<float>::infinity());
    }
    for (const at::Tensor& batch : trainer_.batches_of(1, false)) {
      stack.step(data_.train.images.index_select(0, batch), data_.train.labels.index_select(0, batch));
    }
    return stack;
  };
  const Stack clean = trained(false);
  const Stack sick = trained(true);
  const auto expected = clean.parameters();
  const auto got = sick.parameters();
  for (size_t i = 0; i < got.size(); ++i) {
    for (const int64_t net : {0, 2, 3, 5}) {
      EXPECT_TRUE(got[i].value[net].equal(expected[i].value[net])) << got[i].name << " of " << net;
    }
  }
  EXPECT_TRUE(got.back().value[1].isnan().any().item<bool>());
  const Stack::Scores scores = sick.evaluate(data_.test);
  const Stack::Scores clean_scores = clean.evaluate(data_.test);
  EXPECT_TRUE(std::isnan(scores.loss[1]) && std::isnan(scores.loss[4]));
  EXPECT_EQ(scores.loss[0], clean_scores.loss[0]);
  EXPECT_EQ(scores.accuracy[5], clean_scores.accuracy[5]);
}

TEST_P(StackTest, NetworksLearn) {
  Group group{mixed()[5]};
  group[0].epochs = 12;
  group[0].initialiser = 5;
  Protocol better = protocol();
  better.scale = 1;
  const Trainer trainer(better, data_);
  EXPECT_GT(trainer.train(group, trainer.describe()).members.back().scalars[0], 0.8);
}

TEST_P(StackTest, HistogramsSpanTwiceTheMedianReachAndHoldEveryEntry) {
  Trained pilot = trainer_.train(mixed(), trainer_.describe());
  const auto description = with_histograms(trainer_.describe(), pilot, 32);
  const dynascope::RowLayout layout(description);
  ASSERT_EQ(description.histogram_edges.size(), 4U * 33U);
  EXPECT_EQ(description.histogram_edges[0], -description.histogram_edges[32]);
  const Trained trained = trainer_.train(mixed(), description);
  for (const auto& block : trained.blocks) {
    std::vector<int64_t> counts(4 * 34);
    std::memcpy(counts.data(), block.data() + layout.at("/links/histogram").offset, counts.size() * sizeof(int64_t));
    for (size_t layer = 0; layer < 4; ++layer) {
      int64_t sum = 0;
      for (size_t bin = 0; bin < 34; ++bin) {
        sum += counts[layer * 34 + bin];
      }
      EXPECT_EQ(sum, description.weight_layers[layer].count);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, StackTest, ::testing::Values("fc", "cnn"));

TEST(ProtocolTest, NetsDependOnTheirNumberAlone) {
  Protocol protocol;
  protocol.init = "any";
  std::set<int64_t> seeds, initialisers, epochs;
  double cut = 0;
  double adam = 0;
  for (int64_t number = 0; number < 2000; ++number) {
    const Net net = draw(protocol, number);
    EXPECT_EQ(net.seed, draw(protocol, number).seed);
    EXPECT_GE(net.seed, 0);
    seeds.insert(net.seed);
    initialisers.insert(net.initialiser);
    epochs.insert(net.epochs);
    cut += net.cut ? 1 : 0;
    adam += net.adam ? 1 : 0;
  }
  EXPECT_EQ(seeds.size(), 2000U);
  EXPECT_EQ(initialisers.size(), initialiser_names().size());
  EXPECT_EQ(epochs, (std::set<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_NEAR(cut / 2000, 0.2, 0.05);
  EXPECT_NEAR(adam / 2000, 0.5, 0.06);
}

TEST(ProtocolTest, GroupsHoldEveryNetOnceAndOneLengthOfEpochs) {
  const auto groups = group(Protocol(), 203, 16);
  std::set<int64_t> numbers;
  for (const Group& one : groups) {
    ASSERT_FALSE(one.empty());
    EXPECT_LE(one.size(), 16U);
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(one[i].cut, one[0].cut);
      EXPECT_TRUE(i == 0 || one[i].adam || !one[i - 1].adam) << "SGD comes first";
      EXPECT_TRUE(numbers.insert(one[i].number).second);
    }
  }
  EXPECT_EQ(numbers.size(), 203U);
  EXPECT_EQ(*numbers.rbegin(), 202);
}

}  // namespace
}  // namespace examples
