// SPDX-License-Identifier: BSD-3-Clause
#include "workloads.hpp"

#include <dynascope/network_builder.hpp>

#include <ATen/ops/randn.h>

namespace dynascope::bench {
namespace {

using Shape = std::vector<int64_t>;
using Shapes = std::vector<Shape>;

at::Tensor random(const Shape& shape) { return at::randn(shape).mul_(0.02); }

// Weights that touch no node layer: sums, moments and counts, no strengths.
Network weights(const Shapes& shapes) {
  Network network;
  for (const Shape& shape : shapes) {
    WeightLayer layer;
    layer.name = "w" + std::to_string(network.weight_layers.size());
    layer.weight = random(shape);
    network.weight_layers.push_back(std::move(layer));
  }
  return network;
}

Network mlp() {
  NetworkBuilder builder;
  auto x = builder.input("input", {784});
  x = builder.linear("fc1", x, random({200, 784}), random({200}));
  x = builder.linear("fc2", x, random({100, 200}), random({100}));
  builder.output(builder.linear("fc3", x, random({10, 100}), random({10})));
  return builder.build();
}

Network lenet() {
  NetworkBuilder builder;
  auto x = builder.input("input", {1, 28, 28});
  x = builder.convolution("conv1", x, random({6, 1, 5, 5}), random({6}), ConvolutionOptions().padding({2}));
  x = builder.max_pool(x, PoolingOptions({2}));
  x = builder.convolution("conv2", x, random({16, 6, 5, 5}), random({16}));
  x = builder.max_pool(x, PoolingOptions({2}));
  x = builder.linear("fc1", x, random({120, 400}), random({120}));
  x = builder.linear("fc2", x, random({84, 120}), random({84}));
  builder.output(builder.linear("fc3", x, random({10, 84}), random({10})));
  return builder.build();
}

Shapes vgg16() {
  Shapes shapes;
  int64_t channels = 3;
  for (const int64_t next : {64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512}) {
    shapes.push_back({next, channels, 3, 3});
    channels = next;
  }
  shapes.insert(shapes.end(), {{4096, 25088}, {4096, 4096}, {1000, 4096}});
  return shapes;
}

Shapes resnet50() {
  Shapes shapes = {{64, 3, 7, 7}};
  int64_t channels = 64;
  const int64_t blocks[] = {3, 4, 6, 3};
  for (int64_t stage = 0; stage < 4; ++stage) {
    const int64_t width = 64 << stage;
    for (int64_t block = 0; block < blocks[stage]; ++block) {
      shapes.insert(shapes.end(), {{width, channels, 1, 1}, {width, width, 3, 3}, {4 * width, width, 1, 1}});
      if (block == 0) {
        shapes.push_back({4 * width, channels, 1, 1});
      }
      channels = 4 * width;
    }
  }
  shapes.push_back({1000, 2048});
  return shapes;
}

Shapes transformer(int64_t layers, int64_t width, Shapes others) {
  for (int64_t layer = 0; layer < layers; ++layer) {
    others.insert(others.end(), {{3 * width, width}, {width, width}, {4 * width, width}, {width, 4 * width}});
  }
  return others;
}

Network transposed(const Shape& shape) {
  Network network = weights({shape});
  network.weight_layers[0].weight = network.weight_layers[0].weight.t();
  return network;
}

Workload plain(std::string name, const Shapes& shapes) {
  return {std::move(name), [shapes] { return weights(shapes); }};
}

}  // namespace

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all = {
      plain("64x27", {{64, 27}}),
      {"MLP 784-200-100-10", mlp},
      {"LeNet-5", lenet},
      plain("1536x1536 (9 MB)", {{1536, 1536}}),
      {"1536x1536 (9 MB), cold",
       [] {
         return weights({{1536, 1536}});
       },
       true},
      plain("512x512x3x3 (9 MB)", {{512, 512, 3, 3}}),
      plain("4096x4096 (67 MB)", {{4096, 4096}}),
      plain("4096x25088 (411 MB)", {{4096, 25088}}),
      plain("ResNet-50, 54 weights", resnet50()),
      plain("VGG-16", vgg16()),
      plain("ViT-B/16", transformer(12, 768, {{768, 3, 16, 16}, {1000, 768}})),
      plain("GPT-2 small", transformer(12, 768, {{50257, 768}, {1024, 768}})),
      plain("1x1000000", {{1, 1000000}}),
      plain("1000000x1", {{1000000, 1}}),
      plain("7x3", {{7, 3}}),
      plain("4097x4095", {{4097, 4095}}),
      plain("10,000 tensors of 8x8", Shapes(10000, Shape{8, 8})),
      plain("depthwise 1024x1x3x3", {{1024, 1, 3, 3}}),
      {"2048x2048 transposed",
       [] {
         return transposed({2048, 2048});
       }},
  };
  return all;
}

}  // namespace dynascope::bench
