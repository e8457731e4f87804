// SPDX-License-Identifier: BSD-3-Clause
#include "backend.hpp"
#include "plan.hpp"

#include <dynascope/metrics.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <string>

namespace dynascope {
namespace {

engine::PlanOptions only(const MetricOptions& options) {
  engine::PlanOptions plan_options;
  plan_options.metrics = options;
  return plan_options;
}

class Measured {
 public:
  Measured(const Network& network, const MetricOptions& options)
      : plan_(network, only(options)), row_(engine::make_backend(plan_, 0)->measure_to_tensor(false)) {}

  const engine::Plan& plan() const { return plan_; }

  at::Tensor operator[](const std::string& path) const {
    const Span& span = plan_.layout().at(path);
    const at::ScalarType type = span.type == RowType::kFloat32   ? at::kFloat
                                : span.type == RowType::kFloat64 ? at::kDouble
                                                                 : at::kLong;
    if (span.count == 0) {
      return at::empty(span.shape, row_.options().dtype(type));
    }
    return row_.narrow(0, span.offset, span.count * size_of(span.type)).view(type).clone().view(span.shape);
  }

 private:
  engine::Plan plan_;
  at::Tensor row_;
};

}  // namespace

std::vector<at::Tensor> node_strength(const Network& network, const MetricOptions& options) {
  const Measured measured(network, options);
  const auto& layers = measured.plan().description().node_layers;
  std::vector<at::Tensor> strengths;
  for (size_t i = 0; i < layers.size(); ++i) {
    strengths.push_back(measured[node_layer_path(i, layers.size(), layers[i].name) + "/strength"]);
  }
  return strengths;
}

at::Tensor layer_fluctuation(const Network& network, const MetricOptions& options) {
  return Measured(network, options)["/nodes/fluctuation"];
}

LinkWeights link_weights(const Network& network, const MetricOptions& options) {
  const Measured measured(network, options);
  const auto& layers = measured.plan().description().weight_layers;
  at::Tensor count = at::zeros({static_cast<int64_t>(layers.size())}, at::TensorOptions().dtype(at::kLong));
  for (size_t i = 0; i < layers.size(); ++i) {
    count.mutable_data_ptr<int64_t>()[i] = layers[i].count;
  }
  return {count,
          measured["/links/mean"],
          measured["/links/std"],
          measured["/links/min"],
          measured["/links/max"],
          measured["/links/abs_mean"],
          measured["/links/norm"],
          measured["/links/nonfinite"]};
}

std::vector<NodeLayerInfo> node_layer_info(const Network& network, const MetricOptions& options) {
  return engine::Plan(network, only(options)).description().node_layers;
}

}  // namespace dynascope
