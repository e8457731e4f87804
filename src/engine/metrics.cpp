// SPDX-License-Identifier: BSD-3-Clause
#include "backend.hpp"
#include "computed.hpp"
#include "plan.hpp"
#include "replicas.hpp"

#include <dynascope/error.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/row_layout.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/version.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>
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

// Spans that all layers share, or those that single node or weight layers have, by their place among these.
std::vector<Span> spans_in(const RowLayout& layout, const std::string& group, bool of_one_layer) {
  std::vector<Span> found;
  for (const Span& span : layout.spans()) {
    const size_t last = span.path.rfind('/');
    if (span.path.rfind(group, 0) == 0 && (last >= group.size()) == of_one_layer) {
      found.push_back(span);
    }
  }
  return found;
}

// The row of networks that stand side by side, taken apart: `rows` is (replicas, one.bytes()).
void part(const RowLayout& one, const RowLayout& all, const uint8_t* row, int64_t replicas, uint8_t* rows) {
  for (const std::string group : {"/nodes/", "/links/"}) {
    for (const bool of_one_layer : {false, true}) {
      const auto to = spans_in(one, group, of_one_layer);
      const auto from = spans_in(all, group, of_one_layer);
      const int64_t wanted = of_one_layer ? replicas : 1;
      if (static_cast<int64_t>(from.size()) != static_cast<int64_t>(to.size()) * wanted) {
        throw Error("the description is of another network: it has " + std::to_string(to.size()) + " datasets in " +
                    group + ", and " + std::to_string(replicas) + " networks have " + std::to_string(from.size()));
      }
      for (int64_t replica = 0; replica < replicas; ++replica) {
        for (size_t i = 0; i < to.size(); ++i) {
          const Span& source = from[of_one_layer ? static_cast<size_t>(replica) * to.size() + i : i];
          const int64_t bytes = to[i].count * size_of(to[i].type);
          if (source.count != to[i].count * (of_one_layer ? 1 : replicas)) {
            throw Error("the description is of another network: " + to[i].path + " has " + std::to_string(to[i].count) +
                        " values in it, " + source.path + " of " + std::to_string(replicas) + " networks " +
                        std::to_string(source.count));
          }
          std::memcpy(rows + replica * one.bytes() + to[i].offset,
                      row + source.offset + (of_one_layer ? 0 : replica * bytes), static_cast<size_t>(bytes));
        }
      }
    }
  }
}

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

RunDescription describe(const Network& network, const MetricOptions& options) {
  const bool stacked = engine::replicas_of(network).has_value();
  const engine::Plan plan(stacked ? engine::first_replica(network) : network, only(options));
  const auto backend = engine::make_backend(plan, 0);
  RunDescription description = plan.description();
  description.device = backend->device();
  description.backend = backend->name();
  description.torch_version = TORCH_VERSION;
  return description;
}

at::Tensor measure_rows(const Network& network, const RunDescription& description) {
  const auto replicas = engine::replicas_of(network);
  const int64_t count = replicas.value_or(1);
  engine::PlanOptions options;
  options.metrics = description.metrics;
  options.components = description.components;
  options.histogram = description.histogram;
  options.histogram_bins = description.histogram_bins;
  engine::Plan plan(replicas ? engine::side_by_side(network, count) : network, options);
  const bool histogram = description.histogram != Histogram::kOff;
  if (histogram) {
    std::vector<double> edges;
    for (int64_t replica = 0; replica < count; ++replica) {
      edges.insert(edges.end(), description.histogram_edges.begin(), description.histogram_edges.end());
    }
    plan.set_histogram_edges(std::move(edges));
  }
  engine::compute_weights(plan.network());
  const at::Tensor all = engine::make_backend(plan, 0)->measure_to_tensor(histogram).cpu();
  const RowLayout layout(description);
  at::Tensor rows = at::zeros({count, layout.bytes()}, at::TensorOptions().dtype(at::kByte));
  part(layout, plan.layout(), all.const_data_ptr<uint8_t>(), count, rows.mutable_data_ptr<uint8_t>());
  return rows;
}

}  // namespace dynascope
