// SPDX-License-Identifier: BSD-3-Clause
#include "nets.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace dynascope {
namespace {

class Noting final : public TrainingCallback {
 public:
  using TrainingCallback::on_epoch_end;
  void on_train_begin() override { notes += "begin "; }
  void on_epoch_begin() override { notes += "epoch "; }
  void on_step_end() override { notes += "step "; }
  void on_epoch_end(const Scalars& scalars) override {
    notes += "end ";
    epochs.push_back(scalars);
  }
  void on_train_end() override { notes += "done"; }

  std::string notes;
  std::vector<Scalars> epochs;
};

/// 10 examples in batches of 4: the last batch is smaller.
auto make_loader() {
  const at::Tensor data = torch::linspace(-1, 1, 40).view({10, 4});
  const at::Tensor target = torch::arange(10).remainder(3);
  return torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(
      torch::data::datasets::TensorDataset({torch::cat({data, target.view({10, 1}).to(torch::kFloat32)}, 1)})
          .map(torch::data::transforms::Lambda<torch::data::TensorExample, torch::data::Example<>>(
              [](torch::data::TensorExample row) {
                return torch::data::Example<>(row.data.slice(0, 0, 4), row.data[4].to(torch::kInt64));
              }))
          .map(torch::data::transforms::Stack<>()),
      4);
}

TEST(TrainingLoop, FiresTheEventsInOrder) {
  Net net = make_net();
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  auto loader = make_loader();
  TrainingLoop loop(net, optimizer, torch::nn::CrossEntropyLoss(), loader);
  const auto noting = std::make_shared<Noting>();
  loop.register_callback(noting).run(2);
  EXPECT_EQ(noting->notes, "begin epoch step step step end epoch step step step end done");
}

TEST(TrainingLoop, TrainsAsALoopWrittenByHand) {
  Net by_hand = make_net();
  torch::optim::SGD hand_optimizer(by_hand->parameters(), 0.1);
  auto hand_loader = make_loader();
  double sum = 0;
  for (int epoch = 0; epoch < 2; ++epoch) {
    sum = 0;
    for (auto& batch : *hand_loader) {
      hand_optimizer.zero_grad();
      const at::Tensor loss = torch::cross_entropy_loss(by_hand->forward(batch.data), batch.target);
      loss.backward();
      hand_optimizer.step();
      sum += loss.item<double>() * static_cast<double>(batch.data.size(0));
    }
  }

  Net net = make_net();
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  auto loader = make_loader();
  Noting noting;
  bool evaluated_in_training = true;
  TrainingLoop loop(
      *net, optimizer,
      [](const at::Tensor& output, const at::Tensor& target) { return torch::cross_entropy_loss(output, target); },
      *loader);
  loop.device(torch::kCPU)
      .evaluate([&]() -> Scalars {
        evaluated_in_training = net->is_training();
        return {{"accuracy", 0.5}};
      })
      .register_callback(noting)
      .run(2);
  EXPECT_TRUE(torch::equal(net->fc1->weight, by_hand->fc1->weight));
  EXPECT_FALSE(evaluated_in_training);
  EXPECT_TRUE(net->is_training());
  ASSERT_EQ(noting.epochs.size(), 2u);
  ASSERT_EQ(noting.epochs[1].size(), 2u);
  EXPECT_EQ(noting.epochs[1][0].first, "loss");
  EXPECT_NEAR(noting.epochs[1][0].second, sum / 10, 1e-6);
  EXPECT_EQ(noting.epochs[1][1].first, "accuracy");
}

TEST(TrainingLoop, ARegisteredMonitorRecordsIt) {
  Net net = make_net();
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  auto loader = make_loader();
  const auto sink = std::make_shared<MemorySink>();
  Monitor monitor(net, into(sink));
  monitor.trace([&] { return net->forward(example()); });
  ProgressBar bar(2);
  TrainingLoop loop(net, optimizer, torch::nn::CrossEntropyLoss(), loader);
  loop.register_callback(monitor).register_callback(bar).run(2);
  ASSERT_EQ(sink->rows().size(), 3u);
  EXPECT_EQ(sink->rows()[2].step, 6);
  EXPECT_GT(sink->rows()[2].scalars[0], 0);
  EXPECT_EQ(monitor.status().first_error, "");
}

TEST(TrainingLoop, RefusesANegativeNumberOfEpochs) {
  Net net = make_net();
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  auto loader = make_loader();
  TrainingLoop loop(net, optimizer, torch::nn::CrossEntropyLoss(), loader);
  EXPECT_THROW(loop.run(-1), std::invalid_argument);
  EXPECT_THROW(loop.register_callback(nullptr), std::invalid_argument);
}

}  // namespace
}  // namespace dynascope
