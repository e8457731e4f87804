// SPDX-License-Identifier: BSD-3-Clause
#include "models.hpp"

#include <torch/torch.h>

#include <cmath>
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

class ResidualBlock final : public nn::Module {
 public:
  ResidualBlock(int64_t in, int64_t out, int64_t stride)
      : conv1_(register_module("conv1", convolution(in, out, 3, stride))),
        conv2_(register_module("conv2", convolution(out, out, 3, 1))),
        norm1_(register_module("norm1", nn::BatchNorm2d(out))),
        norm2_(register_module("norm2", nn::BatchNorm2d(out))) {
    if (stride != 1 || in != out) {
      shortcut_ = register_module("shortcut", nn::Sequential(convolution(in, out, 1, stride), nn::BatchNorm2d(out)));
    }
  }

  static nn::Conv2d convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
  }

  torch::Tensor forward(const torch::Tensor& images) {
    torch::Tensor x = torch::relu(norm1_(conv1_(images)));
    x = norm2_(conv2_(x));
    x += shortcut_.is_empty() ? images : shortcut_->forward(images);
    return torch::relu_(x);
  }

 private:
  nn::Conv2d conv1_, conv2_;
  nn::BatchNorm2d norm1_, norm2_;
  nn::Sequential shortcut_{nullptr};
};

class ResNet18 final : public Classifier {
 public:
  ResNet18(int64_t side, int64_t classes) {
    int64_t in = 64;
    for (int64_t i = 0; i < 8; ++i) {
      const int64_t out = int64_t{64} << (i / 2);
      // Maps of one cell would leave batch normalisation a single value in a batch of one.
      const int64_t stride = i > 0 && i % 2 == 0 && side > 3 ? 2 : 1;
      blocks_->push_back(ResidualBlock(in, out, stride));
      side = (side + stride - 1) / stride;
      in = out;
    }
    register_module("blocks", blocks_);
    fc_ = register_module("fc", nn::Linear(in, classes));
  }

  torch::Tensor forward(const torch::Tensor& images) override {
    const torch::Tensor x = blocks_->forward(torch::relu(norm_(conv_(images))));
    return fc_(x.mean({2, 3}));
  }

 private:
  nn::Conv2d conv_ = register_module("conv", ResidualBlock::convolution(1, 64, 3, 1));
  nn::BatchNorm2d norm_ = register_module("norm", nn::BatchNorm2d(64));
  nn::Sequential blocks_;
  nn::Linear fc_{nullptr};
};

class Lstm final : public Classifier {
 public:
  Lstm(int64_t side, int64_t classes)
      : lstm_(register_module("lstm", nn::LSTM(nn::LSTMOptions(side, 64).num_layers(2).batch_first(true)))),
        fc_(register_module("fc", nn::Linear(64, classes))) {}

  torch::Tensor forward(const torch::Tensor& images) override {
    return fc_(std::get<0>(lstm_(images.squeeze(1))).select(1, -1));
  }

 private:
  nn::LSTM lstm_;
  nn::Linear fc_;
};

constexpr int64_t kWidth = 64;

nn::TransformerEncoder make_encoder() {
  const auto layer = nn::TransformerEncoderLayerOptions(kWidth, 4).dim_feedforward(128);
  return nn::TransformerEncoder(nn::TransformerEncoderOptions(layer, 2));
}

class ImageTransformer final : public Classifier {
 public:
  ImageTransformer(int64_t side, int64_t classes)
      : embedding_(register_module("embedding", nn::Linear(side, kWidth))),
        positions_(register_parameter("positions", 0.02 * torch::randn({side, 1, kWidth}))),
        encoder_(register_module("encoder", make_encoder())),
        fc_(register_module("fc", nn::Linear(kWidth, classes))) {}

  torch::Tensor forward(const torch::Tensor& images) override {
    const torch::Tensor rows = embedding_(images.squeeze(1).transpose(0, 1)) + positions_;
    return fc_(encoder_(rows).mean(0));
  }

 private:
  nn::Linear embedding_;
  torch::Tensor positions_;
  nn::TransformerEncoder encoder_;
  nn::Linear fc_;
};

class CharacterTransformer final : public Classifier {
 public:
  CharacterTransformer(int64_t length, int64_t characters)
      : embedding_(register_module("embedding", nn::Embedding(characters, kWidth))),
        positions_(register_parameter("positions", 0.02 * torch::randn({length, 1, kWidth}))),
        past_(register_buffer("past", torch::full({length, length}, -INFINITY).triu(1))),
        encoder_(register_module("encoder", make_encoder())),
        fc_(register_module("fc", nn::Linear(kWidth, characters))) {}

  torch::Tensor forward(const torch::Tensor& characters) override {
    const torch::Tensor x = encoder_(embedding_(characters.t()) + positions_, past_);
    return fc_(x).permute({1, 2, 0});
  }

 private:
  nn::Embedding embedding_;
  torch::Tensor positions_;
  torch::Tensor past_;  // no character sees a later one
  nn::TransformerEncoder encoder_;
  nn::Linear fc_;
};

}  // namespace

std::shared_ptr<Classifier> make_model(const std::string& name, int64_t side, int64_t classes) {
  if (name == "mlp") {
    return std::make_shared<Mlp>(side * side, classes);
  }
  if (name == "cnn") {
    return std::make_shared<Cnn>(side, classes);
  }
  if (name == "resnet18") {
    return std::make_shared<ResNet18>(side, classes);
  }
  if (name == "lstm") {
    return std::make_shared<Lstm>(side, classes);
  }
  if (name == "transformer") {
    return std::make_shared<ImageTransformer>(side, classes);
  }
  throw std::invalid_argument("unknown model '" + name + "'; there are: mlp, cnn, resnet18, lstm, transformer");
}

std::shared_ptr<Classifier> make_text_model(const std::string& name, int64_t length, int64_t characters) {
  if (name == "transformer") {
    return std::make_shared<CharacterTransformer>(length, characters);
  }
  throw std::invalid_argument("model '" + name + "' does not read text; transformer does");
}

}  // namespace examples
