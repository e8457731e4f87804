// SPDX-License-Identifier: BSD-3-Clause
#include "models.hpp"

#include <torch/torch.h>

#include <stdexcept>

namespace examples {
namespace {

namespace nn = torch::nn;

class Mlp final : public Classifier {
 public:
  Mlp(int64_t pixels, int64_t classes)
      : fc1_(register_module("fc1", nn::Linear(pixels, 200))),
        fc2_(register_module("fc2", nn::Linear(200, 100))),
        fc3_(register_module("fc3", nn::Linear(100, classes))) {}

  torch::Tensor forward(const torch::Tensor& images) override {
    torch::Tensor x = torch::relu(fc1_(images.flatten(1)));
    x = torch::relu(fc2_(x));
    return fc3_(x);
  }

 private:
  nn::Linear fc1_;
  nn::Linear fc2_;
  nn::Linear fc3_;
};

class Cnn final : public Classifier {
 public:
  Cnn(int64_t side, int64_t classes) {
    // LeNet-5: 5 x 5 kernels, padded in the first convolution only. On 8 x 8 images they would leave nothing.
    const bool large = side >= 20;
    const int64_t kernel = large ? 5 : 3;
    const int64_t second_padding = large ? 0 : 1;
    const int64_t left = (side / 2 + 2 * second_padding - kernel + 1) / 2;
    conv1_ = register_module("conv1", nn::Conv2d(nn::Conv2dOptions(1, 6, kernel).padding(kernel / 2)));
    conv2_ = register_module("conv2", nn::Conv2d(nn::Conv2dOptions(6, 16, kernel).padding(second_padding)));
    fc1_ = register_module("fc1", nn::Linear(16 * left * left, 120));
    fc2_ = register_module("fc2", nn::Linear(120, 84));
    fc3_ = register_module("fc3", nn::Linear(84, classes));
  }

  torch::Tensor forward(const torch::Tensor& images) override {
    torch::Tensor x = torch::max_pool2d(torch::relu(conv1_(images)), 2);
    x = torch::max_pool2d(torch::relu(conv2_(x)), 2);
    x = torch::relu(fc1_(x.flatten(1)));
    x = torch::relu(fc2_(x));
    return fc3_(x);
  }

 private:
  nn::Conv2d conv1_{nullptr};
  nn::Conv2d conv2_{nullptr};
  nn::Linear fc1_{nullptr};
  nn::Linear fc2_{nullptr};
  nn::Linear fc3_{nullptr};
};

}  // namespace

std::shared_ptr<Classifier> make_model(const std::string& name, int64_t side, int64_t classes) {
  if (name == "mlp") {
    return std::make_shared<Mlp>(side * side, classes);
  }
  if (name == "cnn") {
    return std::make_shared<Cnn>(side, classes);
  }
  throw std::invalid_argument("unknown model '" + name + "'; there are: mlp, cnn");
}

}  // namespace examples
