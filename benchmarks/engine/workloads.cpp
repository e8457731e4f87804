// SPDX-License-Identifier: BSD-3-Clause
#include "workloads.hpp"

#include <dynascope/network_builder.hpp>

#include <ATen/ops/randn.h>

#include <algorithm>

namespace dynascope::bench {
namespace {

using Shape = std::vector<int64_t>;
using Shapes = std::vector<Shape>;

using Options = at::TensorOptions;

at::Tensor random(const Shape& shape, const Options& options) { return at::randn(shape, options).mul_(0.02); }

// Weights that touch no node layer: sums, moments and counts, no strengths.
Network weights(const Shapes& shapes, const Options& options) {
  Network network;
  for (const Shape& shape : shapes) {
    WeightLayer layer;
    layer.name = "w" + std::to_string(network.weight_layers.size());
    layer.weight = random(shape, options);
    network.weight_layers.push_back(std::move(layer));
  }
  return network;
}

Network mlp(const Options& options) {
  NetworkBuilder builder;
  auto x = builder.input("input", {784});
  x = builder.linear("fc1", x, random({200, 784}, options), random({200}, options));
  x = builder.linear("fc2", x, random({100, 200}, options), random({100}, options));
  builder.output(builder.linear("fc3", x, random({10, 100}, options), random({10}, options)));
  return builder.build();
}

Network lenet(const Options& options) {
  NetworkBuilder builder;
  auto x = builder.input("input", {1, 28, 28});
  x = builder.convolution("conv1", x, random({6, 1, 5, 5}, options), random({6}, options),
                          ConvolutionOptions().padding({2}));
  x = builder.max_pool(x, PoolingOptions({2}));
  x = builder.convolution("conv2", x, random({16, 6, 5, 5}, options), random({16}, options));
  x = builder.max_pool(x, PoolingOptions({2}));
  x = builder.linear("fc1", x, random({120, 400}, options), random({120}, options));
  x = builder.linear("fc2", x, random({84, 120}, options), random({84}, options));
  builder.output(builder.linear("fc3", x, random({10, 84}, options), random({10}, options)));
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

Network transposed(const Shape& shape, const Options& options) {
  Network network = weights({shape}, options);
  network.weight_layers[0].weight = network.weight_layers[0].weight.t();
  return network;
}

Shapes llama_7b() {
  Shapes shapes = {{32000, 4096}, {32000, 4096}};
  for (int layer = 0; layer < 32; ++layer) {
    shapes.insert(shapes.end(), {{4096, 4096}, {4096, 4096}, {4096, 4096}, {4096, 4096}});
    shapes.insert(shapes.end(), {{11008, 4096}, {11008, 4096}, {4096, 11008}});
  }
  return shapes;
}

// As many equal matrices as make 64 MB of float32, at least one.
Shapes sixty_four_megabytes(int64_t rows, int64_t columns) {
  const int64_t elements = int64_t{1} << 24;
  return Shapes(static_cast<size_t>(std::max<int64_t>(1, elements / (rows * columns))), Shape{rows, columns});
}

Workload plain(std::string name, const Shapes& shapes) {
  return {std::move(name), [shapes](const Options& options) { return weights(shapes, options); }};
}

// Every size of rows and columns from 1 to 2^17 by factors of eight: of at least 4,096 elements, so that there are not
// too many matrices, and at most 2^30.
void add_sweep(std::vector<Workload>& all) {
  for (const int64_t rows : {1, 8, 64, 512, 4096, 32768, 131072}) {
    for (const int64_t columns : {1, 8, 64, 512, 4096, 32768, 131072}) {
      const int64_t elements = rows * columns;
      if (elements >= 4096 && elements <= int64_t{1} << 30) {
        const std::string name = "sweep " + std::to_string(rows) + "x" + std::to_string(columns);
        all.push_back(plain(name, sixty_four_megabytes(rows, columns)));
      }
    }
  }
}

}  // namespace

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all = {
      plain("64x27", {{64, 27}}),
      {"MLP 784-200-100-10", mlp},
      {"LeNet-5", lenet},
      plain("1536x1536 (9 MB)", {{1536, 1536}}),
      {"1536x1536 (9 MB), cold",
       [](const Options& options) {
         return weights({{1536, 1536}}, options);
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
       [](const Options& options) {
         return transposed({2048, 2048}, options);
       }},
  };
  return all;
}

const std::vector<Workload>& large_workloads() {
  static const std::vector<Workload> all = [] {
    std::vector<Workload> made = {
        plain("16384x16384 (1 GB)", {{16384, 16384}}),
        plain("65537x32769 (8.6 GB, over 2^31 elements)", {{65537, 32769}}),
        plain("GPT-2 XL", transformer(48, 1600, {{50257, 1600}, {1024, 1600}})),
        plain("Llama-2-7B", llama_7b()),
        {"32768x16384 bfloat16 (1 GB)",
         [](const Options& options) {
           return weights({{32768, 16384}}, options.dtype(at::kBFloat16));
         }},
    };
    add_sweep(made);
    return made;
  }();
  return all;
}

}  // namespace dynascope::bench
