// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "runfile/sample_run.hpp"

#include <stdexcept>
#include <string>

// The networks whose runs are killed, starved and mutilated: none is trained, every value follows from its place.
namespace dynascope::testing {

/// Many small layers: hundreds of datasets, each with an object header that every flush rewrites.
inline RunDescription deep_run() {
  RunDescription run;
  run.components = true;
  run.histogram_bins = 32;
  for (int64_t i = 0; i < 40; ++i) {
    run.node_layers.push_back(
        plain_layer("layer" + std::to_string(i), i == 0 ? Role::kInput : Role::kHidden, 8 + 16 * i));
    run.weight_layers.push_back({"layer" + std::to_string(i) + ".weight", 64, 0, 0});
    run.connections.push_back({static_cast<int32_t>(i), static_cast<int32_t>((i + 1) % 40), static_cast<int32_t>(i)});
  }
  run.scalars = {"loss", "accuracy"};
  run.histogram_edges = sample_edges(run.weight_layers.size(), run.histogram_bins);
  sample_provenance(run);
  return run;
}

/// Few layers, rows of more than a megabyte, some larger than HDF5's chunk cache.
inline RunDescription wide_run() {
  RunDescription run;
  run.histogram = Histogram::kOff;
  run.node_layers = {plain_layer("input", Role::kInput, 784), plain_layer("fc1", Role::kOutput, 4096)};
  run.weight_layers = {{"fc1.weight", 784 * 4096, 0, 0}};
  run.connections = {{0, 1, 0}};
  run.parameters = {{"fc1.weight", {300, 1024}, false}, {"fc1.bias", {4096}, true}};
  run.scalars = {"loss"};
  sample_provenance(run);
  return run;
}

inline RunDescription model(const std::string& name) {
  if (name == "mlp") {
    return mlp_run();
  }
  if (name == "deep") {
    return deep_run();
  }
  if (name == "wide") {
    return wide_run();
  }
  throw std::invalid_argument("a model is mlp, deep or wide, got " + name);
}

}  // namespace dynascope::testing
