// SPDX-License-Identifier: BSD-3-Clause
// Which tensors are inputs: those from outside the module that a weight layer reads, wherever they were made.
#include "network_test.hpp"

#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace dynascope::test {
namespace {

using at::Tensor;
namespace nn = torch::nn;

TEST(TraceInput, ExampleMadeInTheCallableIsTheInput) {
  nn::Sequential model(nn::Linear(8, 6), nn::ReLU(), nn::Linear(6, 3));
  const Lines expected = {"input -> 0.weight -> 0", "0 -> 2.weight -> 2"};
  EXPECT_EQ(chain(trace(model, [&] { return model->forward(torch::randn({4, 8})); })), expected);
  EXPECT_EQ(chain(trace(model, [&] { return model->forward(torch::ones({4, 8})); })), expected);
  EXPECT_EQ(chain(trace(model, [&] { return model->forward(torch::rand({4, 2, 4}).flatten(1) * 2); })), expected);
  EXPECT_EQ(chain(trace(model, [&] { return model->forward(torch::empty({4, 8}).normal_()); })), expected);
}

TEST(TraceInput, ShapeIsThatOfTheTensorThatWasMade) {
  nn::Sequential model(nn::Linear(8, 3));
  const Network network = trace(model, [&] { return model->forward(torch::randn({4, 1, 2, 4}).flatten(1)); });
  EXPECT_EQ(node(network, "input").shape, (Shape{1, 2, 4}));
}

TEST(TraceInput, ImagesInBytesAreTheInput) {
  nn::Sequential model(nn::Conv2d(1, 2, 3));
  const Tensor images = torch::randint(256, {4, 1, 6, 6}, torch::kByte);
  const Network network = trace(model, [&] { return model->forward(images.to(torch::kFloat).div(255)); });
  EXPECT_EQ(chain(network), (Lines{"input -> 0.weight -> 0"}));
  EXPECT_EQ(node(network, "input").shape, (Shape{1, 6, 6}));
}

TEST(TraceInput, SecondExampleIsASecondInput) {
  nn::Linear a(4, 3), b(5, 3);
  const Network network = trace({{"a", a}, {"b", b}}, [&] {
    return std::vector<Tensor>{a->forward(torch::randn({2, 4})), b->forward(torch::randn({2, 5}))};
  });
  EXPECT_EQ(chain(network), (Lines{"input0 -> a.weight -> a", "input1 -> b.weight -> b"}));
}

TEST(TraceInput, ConstantThatIsOnlyAddedIsNone) {
  nn::Sequential model(nn::Linear(8, 6), nn::ReLU(), nn::Linear(6, 3));
  const Network network = trace(model, [&] {
    return model->forward(torch::randn({4, 8})) + torch::arange(3).to(torch::kFloat);
  });
  EXPECT_EQ(chain(network), (Lines{"input -> 0.weight -> 0", "0 -> 2.weight -> 2"}));
}

TEST(TraceInput, VocabularyEntriesAreTheInputOfAnEmbedding) {
  nn::Embedding table(10, 4);
  const Tensor tokens = torch::randint(10, {2, 5});
  for (const bool given : {false, true}) {
    const auto options = given ? TraceOptions().inputs({tokens}) : TraceOptions();
    const Network network = trace(
        table, [&] { return table->forward(tokens); }, options);
    EXPECT_EQ(chain(network), (Lines{"input -> weight -> weight"})) << network;
    EXPECT_EQ(node(network, "input").shape, Shape{10});
    EXPECT_TRUE(weight(network, "weight").transposed);
  }
}

TEST(TraceInput, GivenInputsAreTheOnlyOnes) {
  nn::Linear a(4, 4), b(4, 3);
  const Tensor x = torch::randn({2, 4}), mask = torch::rand({2, 4});
  const Network network = trace(
      {{"a", a}, {"b", b}}, [&] { return b->forward(a->forward(x) * mask); }, TraceOptions().inputs({x}));
  EXPECT_EQ(chain(network), (Lines{"input -> a.weight -> a", "a -> b.weight -> b"}));
}

}  // namespace
}  // namespace dynascope::test
