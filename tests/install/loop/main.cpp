// SPDX-License-Identifier: BSD-3-Clause
// The loop of the README, on random data: two epochs of three batches, then a look at what the monitor says of itself.
#include <dynascope/dynascope.hpp>

#include <torch/nn/functional.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <cstdint>
#include <iostream>
#include <vector>

struct NetImpl : torch::nn::Module {
  NetImpl()
      : first(register_module("first", torch::nn::Linear(4, 8))),
        second(register_module("second", torch::nn::Linear(8, 3))) {}
  torch::Tensor forward(const torch::Tensor& x) { return torch::log_softmax(second(torch::relu(first(x))), 1); }
  torch::nn::Linear first, second;
};
TORCH_MODULE(Net);

struct Batch {
  torch::Tensor data;
  torch::Tensor target;
};

int main(int, char** arguments) {
  torch::manual_seed(1);
  constexpr int64_t epochs = 2;
  std::vector<Batch> loader;
  for (int i = 0; i < 3; ++i) loader.push_back({torch::randn({5, 4}), torch::randint(3, {5})});
  const auto example = loader.front().data;

  Net model;
  torch::optim::SGD optimizer(model->parameters(), 0.1);

  dynascope::Monitor monitor(model, dynascope::MonitorOptions(arguments[1]).scalars({"loss"}).overwrite(true));
  monitor.trace([&] { return model->forward(example); });

  monitor.on_train_begin();
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    monitor.on_epoch_begin();
    double sum = 0;
    for (auto& batch : loader) {
      optimizer.zero_grad();
      auto loss = torch::nll_loss(model->forward(batch.data), batch.target);
      loss.backward();
      optimizer.step();
      monitor.on_step_end();
      sum += loss.item<double>();
    }
    monitor.on_epoch_end({{"loss", sum / static_cast<double>(loader.size())}});
  }
  monitor.on_train_end();

  const auto status = monitor.status();
  std::cout << status.rows_written << " rows, " << status.skipped.size() << " skipped, error '" << status.first_error
            << "'\n";
  return status.rows_written == epochs + 1 && status.skipped.empty() && status.first_error.empty() ? 0 : 1;
}
