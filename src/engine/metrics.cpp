// SPDX-License-Identifier: BSD-3-Clause
#include "backend.hpp"
#include "computed.hpp"
#include "plan.hpp"
#include "replicas.hpp"

#include <dynascope/metrics.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <optional>
#include <string>
#include <vector>

namespace dynascope {
namespace {

engine::PlanOptions only(const MetricOptions& options) {
  engine::PlanOptions plan_options;
  plan_options.metrics = options;
  return plan_options;
}

// One measurement of a network, or of all its replicas.
class Measured {
 public:
  Measured(const Network& network, const MetricOptions& options)
      : replicas_(engine::replicas_of(network)),
        plan_(replicas_ ? engine::side_by_side(network, *replicas_) : network, only(options)),
        row_(measure(network, plan_)) {}

  /// What is measured of each layer of a kind: (layers,), with the replica axis in front where there is one.
  at::Tensor per_layer(const std::string& path) const {
    const at::Tensor all = span(path);
    return replicas_ ? all.view({*replicas_, *replicas_ > 0 ? all.size(0) / *replicas_ : 0}) : all;
  }

  std::vector<at::Tensor> strengths() const {
    const auto& layers = plan_.description().node_layers;
    std::vector<at::Tensor> all;
    for (size_t i = 0; i < layers.size(); ++i) {
      all.push_back(span(node_layer_path(i, layers.size(), layers[i].name) + "/strength"));
    }
    if (!replicas_) {
      return all;
    }
    std::vector<at::Tensor> stacked;
    const size_t one = *replicas_ > 0 ? all.size() / static_cast<size_t>(*replicas_) : 0;
    for (size_t layer = 0; layer < one; ++layer) {
      std::vector<at::Tensor> of_layer;
      for (size_t i = layer; i < all.size(); i += one) {
        of_layer.push_back(all[i]);
      }
      stacked.push_back(at::stack(of_layer));
    }
    return stacked;
  }

  /// Entries counted, (weight layers,).
  at::Tensor counts() const {
    const auto& layers = plan_.description().weight_layers;
    const auto one = static_cast<int64_t>(layers.size()) / replicas_.value_or(1);
    at::Tensor count = at::zeros({one}, at::TensorOptions().dtype(at::kLong));
    for (int64_t i = 0; i < one; ++i) {
      count.mutable_data_ptr<int64_t>()[i] = layers[static_cast<size_t>(i)].count;
    }
    return count;
  }

 private:
  static at::Tensor measure(const Network& network, const engine::Plan& plan) {
    engine::compute_weights(network);
    return engine::make_backend(plan, 0)->measure_to_tensor(false);
  }

  at::Tensor span(const std::string& path) const {
    const Span& span = plan_.layout().at(path);
    const at::ScalarType type = span.type == RowType::kFloat32   ? at::kFloat
                                : span.type == RowType::kFloat64 ? at::kDouble
                                                                 : at::kLong;
    if (span.count == 0) {
      return at::empty(span.shape, row_.options().dtype(type));
    }
    return row_.narrow(0, span.offset, span.count * size_of(span.type)).view(type).clone().view(span.shape);
  }

  std::optional<int64_t> replicas_;
  engine::Plan plan_;
  at::Tensor row_;
};

}  // namespace

std::vector<at::Tensor> node_strength(const Network& network, const MetricOptions& options) {
  return Measured(network, options).strengths();
}

at::Tensor layer_fluctuation(const Network& network, const MetricOptions& options) {
  return Measured(network, options).per_layer("/nodes/fluctuation");
}

LinkWeights link_weights(const Network& network, const MetricOptions& options) {
  const Measured measured(network, options);
  return {measured.counts(),
          measured.per_layer("/links/mean"),
          measured.per_layer("/links/std"),
          measured.per_layer("/links/min"),
          measured.per_layer("/links/max"),
          measured.per_layer("/links/abs_mean"),
          measured.per_layer("/links/norm"),
          measured.per_layer("/links/nonfinite")};
}

std::vector<NodeLayerInfo> node_layer_info(const Network& network, const MetricOptions& options) {
  const bool stacked = engine::replicas_of(network).has_value();
  return engine::Plan(stacked ? engine::first_replica(network) : network, only(options)).description().node_layers;
}

}  // namespace dynascope
