// SPDX-License-Identifier: BSD-3-Clause
#include "benchmark.hpp"

#include "initialiser.hpp"

#include <dynascope/metrics.hpp>

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

namespace examples {
namespace {

template <class Work>
double nets_per_minute(const Group& group, Work work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  return 60 * static_cast<double>(group.size()) / taken.count();
}

void print(const char* how, std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  std::printf("%-34s %8.1f nets/min (%.1f to %.1f)\n", how, rates[rates.size() / 2], rates.front(), rates.back());
}

}  // namespace

Trained train_alone(const Trainer& trainer, const Net& net, const dynascope::RunDescription& description) {
  torch::nn::Sequential model = make_module(trainer.layers());
  {
    const torch::NoGradGuard no_gradients;
    at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(net.seed));
    for (const Layer& layer : trainer.layers()) {
      for (const char* part : {".weight", ".bias"}) {
        initialise(model->named_parameters()[layer.name + part].data(), net.initialiser, trainer.protocol().scale,
                   generator);
      }
    }
  }
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  if (net.adam) {
    optimizer = std::make_unique<torch::optim::Adam>(model->parameters(), 0.001);
  } else {
    optimizer = std::make_unique<torch::optim::SGD>(model->parameters(), 0.01);
  }
  const bool flat = !trainer.layers()[0].convolution();
  const auto forward = [&](const at::Tensor& images) { return model->forward(flat ? images.flatten(1) : images); };
  const LabelledImages& data = trainer.train_data();
  const LabelledImages& test = trainer.test_data();
  std::vector<dynascope::NamedParameter> parameters;
  for (const auto& item : model->named_parameters()) {
    parameters.push_back({item.key(), item.value().detach()});
  }
  const dynascope::Network network = dynascope::with_parameters(trainer.network(), parameters);
  Trained trained;
  int64_t steps = 0;
  for (int64_t epoch = 1; epoch <= net.epochs; ++epoch) {
    for (const at::Tensor& batch : trainer.batches_of(epoch, net.cut)) {
      optimizer->zero_grad();
      const auto scores = forward(data.images.index_select(0, batch));
      torch::nn::functional::cross_entropy(scores, data.labels.index_select(0, batch)).backward();
      optimizer->step();
      ++steps;
    }
    const torch::NoGradGuard no_gradients;
    const auto scores = forward(test.images);
    const double accuracy = scores.argmax(1).eq(test.labels).to(at::kDouble).mean().item<double>();
    const double loss = torch::nn::functional::cross_entropy(scores, test.labels).item<double>();
    const at::Tensor row = dynascope::measure_rows(network, description);
    const auto* bytes = reinterpret_cast<const std::byte*>(row.const_data_ptr<uint8_t>());
    trained.members.push_back({net.number,
                               epoch,
                               steps,
                               net.seed,
                               {accuracy, loss, net.adam ? 1.0 : 0.0, static_cast<double>(trainer.images(net.cut)),
                                static_cast<double>(net.initialiser)},
                               nullptr});
    trained.blocks.emplace_back(bytes, bytes + row.size(1));
  }
  return trained;
}

void compare_speed(const Trainer& trainer, const Group& group, int turns) {
  const dynascope::RunDescription description = trainer.describe();
  std::vector<double> at_once, stacks_of_one, plain;
  for (int turn = 0; turn < turns; ++turn) {
    at_once.push_back(nets_per_minute(group, [&] { trainer.train(group, description); }));
    stacks_of_one.push_back(nets_per_minute(group, [&] {
      for (const Net& net : group) {
        trainer.train({net}, description);
      }
    }));
    plain.push_back(nets_per_minute(group, [&] {
      for (const Net& net : group) {
        train_alone(trainer, net, description);
      }
    }));
  }
  std::printf("%zu networks, one thread, median of %d turns (least to most)\n", group.size(), turns);
  print("at once", at_once);
  print("one by one, stacks of one", stacks_of_one);
  print("one by one, LibTorch's modules", plain);
}

}  // namespace examples
