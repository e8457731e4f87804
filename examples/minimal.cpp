// SPDX-License-Identifier: BSD-3-Clause
// The shortest program that records a training run. A small network learns which of three random directions a random
// point is closest to; the Monitor is told where the loop stands and writes node strengths and layer fluctuations to
// run.h5. Look at it with `dynascope info run.h5` and `dynascope show run.h5`.
#include <dynascope/dynascope.hpp>

#include <torch/torch.h>

#include <cstdint>
#include <iostream>

struct NetImpl : torch::nn::Module {
  NetImpl()
      : fc1(register_module("fc1", torch::nn::Linear(8, 32))), fc2(register_module("fc2", torch::nn::Linear(32, 3))) {}
  torch::Tensor forward(const torch::Tensor& x) { return fc2(torch::relu(fc1(x))); }
  torch::nn::Linear fc1, fc2;
};
TORCH_MODULE(Net);

int main() {
  torch::manual_seed(1);
  const torch::Tensor points = torch::randn({1024, 8});
  const torch::Tensor labels = points.mm(torch::randn({8, 3})).argmax(1);

  Net model;
  torch::optim::SGD optimizer(model->parameters(), 0.1);

  dynascope::Monitor monitor(model, dynascope::MonitorOptions("run.h5").scalars({"loss", "accuracy"}).overwrite(true));
  monitor.trace([&] { return model->forward(points.slice(0, 0, 1)); });  // one forward pass: finds the graph

  monitor.on_train_begin();  // creates the file, records row 0
  for (int64_t epoch = 1; epoch <= 10; ++epoch) {
    double loss_sum = 0;
    for (int64_t first = 0; first < points.size(0); first += 64) {
      optimizer.zero_grad();
      auto loss = torch::cross_entropy_loss(model->forward(points.slice(0, first, first + 64)),
                                            labels.slice(0, first, first + 64));
      loss.backward();
      optimizer.step();
      monitor.on_step_end();  // right after the weights changed
      loss_sum += loss.item<double>();
    }
    const double accuracy = model->forward(points).argmax(1).eq(labels).to(torch::kDouble).mean().item<double>();
    monitor.on_epoch_end({{"loss", loss_sum / 16}, {"accuracy", accuracy}});
  }
  monitor.on_train_end();  // also done, without throwing, by the destructor

  const auto status = monitor.status();
  std::cout << status.rows_written << " rows in run.h5" << (status.first_error.empty() ? "" : ": ")
            << status.first_error << '\n';
}
