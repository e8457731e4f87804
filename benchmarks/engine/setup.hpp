// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the contenders of one workload share.

#include "engine/backend.hpp"
#include "engine/plan.hpp"
#include "workloads.hpp"

#include <memory>
#include <vector>

namespace dynascope::bench {

/// Made by the first contender that asks for a part of it.
class Setup {
 public:
  Setup(const Workload& workload, at::TensorOptions options) : workload_(workload), options_(options) {}

  engine::Plan& plan() {
    make();
    return *plan_;
  }

  engine::Backend& backend() {
    make();
    return *backend_;
  }

  /// As matrices.
  const std::vector<at::Tensor>& weights() {
    make();
    return weights_;
  }

  double bytes() {
    double sum = 0;
    for (const at::Tensor& weight : weights()) {
      sum += static_cast<double>(weight.nbytes());
    }
    return sum;
  }

 private:
  void make() {
    if (backend_) {
      return;
    }
    const Network network = workload_.make(options_);
    weights_.clear();
    for (const WeightLayer& layer : network.weight_layers) {
      weights_.push_back(layer.weight.dim() > 2 ? layer.weight.flatten(1) : layer.weight);
    }
    engine::PlanOptions options;
    options.histogram = Histogram::kEveryRow;
    plan_ = std::make_unique<engine::Plan>(network, options);
    std::vector<double> edges;
    for (size_t i = 0; i < network.weight_layers.size(); ++i) {
      for (int64_t bin = 0; bin <= options.histogram_bins; ++bin) {
        edges.push_back(-0.1 + 0.2 * static_cast<double>(bin) / static_cast<double>(options.histogram_bins));
      }
    }
    plan_->set_histogram_edges(std::move(edges));
    backend_ = engine::make_backend(*plan_, 1);
  }

  const Workload& workload_;
  const at::TensorOptions options_;
  std::unique_ptr<engine::Plan> plan_;
  std::unique_ptr<engine::Backend> backend_;
  std::vector<at::Tensor> weights_;
};

}  // namespace dynascope::bench
