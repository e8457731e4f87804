// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Published convolutional networks, written after their papers: the layers, their sizes and how they are joined.

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

namespace dynascope::test::zoo {

using at::Tensor;
namespace nn = torch::nn;

/// Modules by name and one forward function.
struct Model : nn::Module {
  virtual Tensor forward(const Tensor& x) = 0;

  nn::Conv2d conv(const std::string& name, nn::Conv2dOptions options) {
    return register_module(name, nn::Conv2d(options));
  }
  nn::BatchNorm2d norm(const std::string& name, int64_t channels) {
    return register_module(name, nn::BatchNorm2d(channels));
  }
  nn::Linear linear(const std::string& name, int64_t in, int64_t out) {
    return register_module(name, nn::Linear(in, out));
  }
};

inline nn::Conv2dOptions unbiased(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t groups = 1) {
  return nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).groups(groups).bias(false);
}

/// LeNet-5 (LeCun et al. 1998) as it is trained today: 61,706 parameters.
struct LeNet5 : Model {
  nn::Conv2d conv1 = conv("conv1", nn::Conv2dOptions(1, 6, 5).padding(2));
  nn::Conv2d conv2 = conv("conv2", nn::Conv2dOptions(6, 16, 5));
  nn::Linear fc1 = linear("fc1", 400, 120), fc2 = linear("fc2", 120, 84), fc3 = linear("fc3", 84, 10);
  Tensor forward(const Tensor& x) override {
    Tensor h = torch::max_pool2d(torch::relu(conv1(x)), 2);
    h = torch::max_pool2d(torch::relu(conv2(h)), 2).flatten(1);
    return fc3(torch::relu(fc2(torch::relu(fc1(h)))));
  }
};

/// VGG-16 (Simonyan and Zisserman 2014), configuration D.
struct Vgg16 : Model {
  nn::Sequential features, classifier;
  Vgg16() {
    int64_t in = 3;
    for (const int64_t out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
      if (out == 0) {
        features->push_back(nn::MaxPool2d(2));
        continue;
      }
      features->push_back(nn::Conv2d(nn::Conv2dOptions(in, out, 3).padding(1)));
      features->push_back(nn::ReLU(nn::ReLUOptions().inplace(true)));
      in = out;
    }
    classifier->push_back(nn::Linear(25088, 4096));
    classifier->push_back(nn::ReLU());
    classifier->push_back(nn::Dropout());
    classifier->push_back(nn::Linear(4096, 4096));
    classifier->push_back(nn::ReLU());
    classifier->push_back(nn::Dropout());
    classifier->push_back(nn::Linear(4096, 1000));
    register_module("features", features);
    register_module("classifier", classifier);
  }
  Tensor forward(const Tensor& x) override {
    return classifier->forward(torch::adaptive_avg_pool2d(features->forward(x), {7, 7}).flatten(1));
  }
};

/// One block of a ResNet (He et al. 2015): basic, or with a bottleneck.
struct ResidualBlock : Model {
  nn::Sequential body, shortcut;
  ResidualBlock(int64_t in, int64_t width, int64_t stride, bool bottleneck) {
    const int64_t out = bottleneck ? 4 * width : width;
    if (bottleneck) {
      body = nn::Sequential(nn::Conv2d(unbiased(in, width, 1)), nn::BatchNorm2d(width), nn::ReLU(),
                            nn::Conv2d(unbiased(width, width, 3, stride)), nn::BatchNorm2d(width), nn::ReLU(),
                            nn::Conv2d(unbiased(width, out, 1)), nn::BatchNorm2d(out));
    } else {
      body = nn::Sequential(nn::Conv2d(unbiased(in, width, 3, stride)), nn::BatchNorm2d(width), nn::ReLU(),
                            nn::Conv2d(unbiased(width, width, 3)), nn::BatchNorm2d(width));
    }
    register_module("body", body);
    if (stride != 1 || in != out) {
      shortcut = nn::Sequential(nn::Conv2d(unbiased(in, out, 1, stride)), nn::BatchNorm2d(out));
      register_module("shortcut", shortcut);
    }
  }
  Tensor forward(const Tensor& x) override {
    Tensor h = body->forward(x);
    h += shortcut->is_empty() ? x : shortcut->forward(x);
    return h.relu_();
  }
};

struct ResNet : Model {
  nn::Conv2d conv1 = conv("conv1", unbiased(3, 64, 7, 2));
  nn::BatchNorm2d bn1 = norm("bn1", 64);
  std::vector<std::shared_ptr<ResidualBlock>> blocks;
  nn::Linear fc{nullptr};
  ResNet(const std::vector<int64_t>& depths, bool bottleneck) {
    int64_t in = 64, width = 64;
    for (size_t stage = 0; stage < depths.size(); ++stage, width *= 2) {
      for (int64_t i = 0; i < depths[stage]; ++i) {
        const std::string name = "layer" + std::to_string(stage + 1) + "_" + std::to_string(i);
        blocks.push_back(
            register_module(name, std::make_shared<ResidualBlock>(in, width, i == 0 && stage > 0 ? 2 : 1, bottleneck)));
        in = bottleneck ? 4 * width : width;
      }
    }
    fc = linear("fc", in, 1000);
  }
  Tensor forward(const Tensor& x) override {
    Tensor h = torch::max_pool2d(torch::relu(bn1(conv1(x))), 3, 2, 1);
    for (const auto& block : blocks) {
      h = block->forward(h);
    }
    return fc(torch::adaptive_avg_pool2d(h, {1, 1}).flatten(1));
  }
};

/// DenseNet-121 (Huang et al. 2016): growth 32, blocks of 6, 12, 24 and 16.
struct DenseNet121 : Model {
  struct Layer : Model {
    nn::BatchNorm2d norm1, norm2;
    nn::Conv2d conv1, conv2;
    explicit Layer(int64_t in)
        : norm1(norm("norm1", in)),
          norm2(norm("norm2", 128)),
          conv1(conv("conv1", unbiased(in, 128, 1))),
          conv2(conv("conv2", unbiased(128, 32, 3))) {}
    Tensor forward(const Tensor& x) override {
      return torch::cat({x, conv2(torch::relu(norm2(conv1(torch::relu(norm1(x))))))}, 1);
    }
  };
  nn::Sequential features;
  nn::Linear classifier{nullptr};
  DenseNet121() {
    features->push_back("conv0", nn::Conv2d(unbiased(3, 64, 7, 2)));
    features->push_back("norm0", nn::BatchNorm2d(64));
    features->push_back("relu0", nn::ReLU());
    features->push_back("pool0", nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2).padding(1)));
    int64_t channels = 64;
    const std::vector<int64_t> depths = {6, 12, 24, 16};
    for (size_t block = 0; block < depths.size(); ++block) {
      const std::string number = std::to_string(block + 1);
      for (int64_t i = 0; i < depths[block]; ++i, channels += 32) {
        features->push_back("dense" + number + "_" + std::to_string(i), Layer(channels));
      }
      if (block + 1 < depths.size()) {
        features->push_back("norm" + number, nn::BatchNorm2d(channels));
        features->push_back("relu" + number, nn::ReLU());
        features->push_back("transition" + number, nn::Conv2d(unbiased(channels, channels / 2, 1)));
        features->push_back("pool" + number, nn::AvgPool2d(2));
        channels /= 2;
      }
    }
    features->push_back("norm5", nn::BatchNorm2d(channels));
    register_module("features", features);
    classifier = linear("classifier", channels, 1000);
  }
  Tensor forward(const Tensor& x) override {
    return classifier(torch::adaptive_avg_pool2d(torch::relu(features->forward(x)), {1, 1}).flatten(1));
  }
};

/// MobileNetV2 (Sandler et al. 2018), width 1.
struct MobileNetV2 : Model {
  struct Block : Model {
    nn::Sequential body;
    bool keeps;
    Block(int64_t in, int64_t out, int64_t stride, int64_t expansion) : keeps(stride == 1 && in == out) {
      const int64_t hidden = in * expansion;
      if (expansion != 1) {
        body->push_back(nn::Conv2d(unbiased(in, hidden, 1)));
        body->push_back(nn::BatchNorm2d(hidden));
        body->push_back(nn::ReLU6());
      }
      body->push_back(nn::Conv2d(unbiased(hidden, hidden, 3, stride, hidden)));
      body->push_back(nn::BatchNorm2d(hidden));
      body->push_back(nn::ReLU6());
      body->push_back(nn::Conv2d(unbiased(hidden, out, 1)));
      body->push_back(nn::BatchNorm2d(out));
      register_module("body", body);
    }
    Tensor forward(const Tensor& x) override { return keeps ? x + body->forward(x) : body->forward(x); }
  };
  nn::Sequential features;
  nn::Linear classifier = linear("classifier", 1280, 1000);
  MobileNetV2() {
    features->push_back(nn::Conv2d(unbiased(3, 32, 3, 2)));
    features->push_back(nn::BatchNorm2d(32));
    features->push_back(nn::ReLU6());
    int64_t in = 32;
    const std::vector<std::vector<int64_t>> stages = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                                      {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    for (const auto& stage : stages) {
      for (int64_t i = 0; i < stage[2]; ++i) {
        features->push_back(Block(in, stage[1], i == 0 ? stage[3] : 1, stage[0]));
        in = stage[1];
      }
    }
    features->push_back(nn::Conv2d(unbiased(320, 1280, 1)));
    features->push_back(nn::BatchNorm2d(1280));
    features->push_back(nn::ReLU6());
    register_module("features", features);
  }
  Tensor forward(const Tensor& x) override {
    return classifier(torch::dropout(features->forward(x).mean({2, 3}), 0.2, is_training()));
  }
};

/// U-Net (Ronneberger et al. 2015) with padded convolutions, as it is trained today; depth 3.
struct UNet : Model {
  std::vector<nn::Sequential> down, up;
  std::vector<nn::ConvTranspose2d> enlarge;
  nn::Conv2d head{nullptr};
  static nn::Sequential twice(int64_t in, int64_t out) {
    return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(in, out, 3).padding(1)), nn::ReLU(),
                          nn::Conv2d(nn::Conv2dOptions(out, out, 3).padding(1)), nn::ReLU());
  }
  UNet() {
    int64_t channels = 1, width = 64;
    for (int i = 0; i < 4; ++i, channels = width, width *= 2) {
      down.push_back(register_module("down" + std::to_string(i), twice(channels, width)));
    }
    width = channels;
    for (int i = 0; i < 3; ++i, width /= 2) {
      enlarge.push_back(
          register_module("enlarge" + std::to_string(i),
                          nn::ConvTranspose2d(nn::ConvTranspose2dOptions(width, width / 2, 2).stride(2))));
      up.push_back(register_module("up" + std::to_string(i), twice(width, width / 2)));
    }
    head = conv("head", nn::Conv2dOptions(64, 2, 1));
  }
  Tensor forward(const Tensor& x) override {
    std::vector<Tensor> kept;
    Tensor h = x;
    for (size_t i = 0; i < down.size(); ++i) {
      h = down[i]->forward(i == 0 ? h : torch::max_pool2d(h, 2));
      kept.push_back(h);
    }
    for (size_t i = 0; i < up.size(); ++i) {
      h = up[i]->forward(torch::cat({kept[kept.size() - 2 - i], enlarge[i]->forward(h)}, 1));
    }
    return head(h);
  }
};

/// A block of ConvNeXt (Liu et al. 2022) behind its stem.
struct ConvNeXtBlock : Model {
  nn::Conv2d stem = conv("stem", nn::Conv2dOptions(3, 96, 4).stride(4));
  nn::Conv2d depthwise = conv("depthwise", nn::Conv2dOptions(96, 96, 7).padding(3).groups(96));
  nn::LayerNorm layer_norm = register_module("norm", nn::LayerNorm(nn::LayerNormOptions({96})));
  nn::Linear wide = linear("wide", 96, 384), narrow = linear("narrow", 384, 96);
  Tensor gamma = register_parameter("gamma", torch::full({96}, 1e-6));
  Tensor forward(const Tensor& x) override {
    const Tensor h = stem(x);
    const Tensor y = gamma * narrow(torch::gelu(wide(layer_norm(depthwise(h).permute({0, 2, 3, 1})))));
    return h + y.permute({0, 3, 1, 2});
  }
};

/// An Inception block (Szegedy et al. 2014, block 3a) behind a stem.
struct InceptionBlock : Model {
  nn::Conv2d stem = conv("stem", nn::Conv2dOptions(3, 192, 3).padding(1));
  nn::Conv2d a = conv("a", nn::Conv2dOptions(192, 64, 1)), b1 = conv("b1", nn::Conv2dOptions(192, 96, 1)),
             b2 = conv("b2", nn::Conv2dOptions(96, 128, 3).padding(1)), c1 = conv("c1", nn::Conv2dOptions(192, 16, 1)),
             c2 = conv("c2", nn::Conv2dOptions(16, 32, 5).padding(2)), d = conv("d", nn::Conv2dOptions(192, 32, 1));
  nn::Linear head = linear("head", 256, 10);
  Tensor forward(const Tensor& x) override {
    const Tensor h = torch::relu(stem(x));
    const Tensor joined =
        torch::cat({torch::relu(a(h)), torch::relu(b2(torch::relu(b1(h)))), torch::relu(c2(torch::relu(c1(h)))),
                    torch::relu(d(torch::max_pool2d(h, 3, 1, 1)))},
                   1);
    return head(joined.mean({2, 3}));
  }
};

/// Squeeze and excitation (Hu et al. 2017) on one residual branch, and ShuffleNet's channel shuffle (Ma et al. 2018).
struct GatedShuffle : Model {
  nn::Conv2d stem = conv("stem", nn::Conv2dOptions(3, 8, 3).padding(1)), left = conv("left", unbiased(4, 4, 1)),
             right = conv("right", unbiased(4, 4, 3));
  nn::Linear squeeze = linear("squeeze", 8, 2), excite = linear("excite", 2, 8), head = linear("head", 8, 3);
  Tensor forward(const Tensor& x) override {
    const Tensor h = torch::relu(stem(x));
    const Tensor gate = torch::sigmoid(excite(torch::relu(squeeze(h.mean({2, 3})))));
    const Tensor gated = h * gate.unsqueeze(-1).unsqueeze(-1);
    const auto halves = gated.chunk(2, 1);
    const Tensor joined = torch::cat({left(halves[0]), right(halves[1])}, 1);
    return head(torch::channel_shuffle(joined, 2).mean({2, 3}));
  }
};

}  // namespace dynascope::test::zoo
