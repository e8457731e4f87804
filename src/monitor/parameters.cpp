// SPDX-License-Identifier: BSD-3-Clause
#include "parameters.hpp"

#include "edges.hpp"
#include "engine/backend.hpp"
#include "engine/computed.hpp"

#include <dynascope/error.hpp>

#include <torch/version.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dynascope::monitor {
namespace {

// The more rows are written at once, the less each costs; beyond some hundred it is the same.
int64_t fitting_slots(int64_t row_bytes) {
  constexpr int64_t kBytes = int64_t{8} << 20;
  return std::clamp<int64_t>(kBytes / std::max<int64_t>(row_bytes, 1), 16, 512);
}

/// All parameters of the modules under the names that a trace gives them.
std::unordered_map<std::string, at::Tensor> registered(const NamedModules& modules) {
  std::unordered_map<std::string, at::Tensor> all;
  for (const auto& [prefix, module] : modules) {
    for (const auto& item : module->named_parameters()) {
      all.emplace(prefix.empty() ? item.key() : prefix + "." + item.key(), item.value());
    }
  }
  return all;
}

/// Numbers of `parameter` that weight layers hold. A shared weight counts once, and so does each part of one.
int64_t measured_numbers(const Network& network, size_t parameter, bool biases) {
  const at::Tensor& value = network.parameters[parameter].value;
  const bool computes =
      std::any_of(network.computed.begin(), network.computed.end(), [&](const ComputedWeight& weight) {
        return std::find(weight.parameters.begin(), weight.parameters.end(), parameter) != weight.parameters.end();
      });
  if (computes || value.layout() != at::kStrided) {
    return computes ? value.numel() : 0;
  }
  std::set<std::pair<const void*, int64_t>> parts;
  int64_t measured = 0;
  for (const WeightLayer& layer : network.weight_layers) {
    for (const at::Tensor* used : {&layer.weight, &layer.bias}) {
      if (used->defined() && (used == &layer.weight || biases) && used->is_alias_of(value) &&
          parts.emplace(used->const_data_ptr(), used->numel()).second) {
        measured += used->numel();
      }
    }
  }
  return std::min(measured, value.numel());
}

std::string text(const at::Tensor& tensor) {
  std::string shape;
  for (const int64_t size : tensor.sizes()) {
    shape += (shape.empty() ? "[" : ", ") + std::to_string(size);
  }
  return (shape.empty() ? "[" : shape) + "] " + std::string(c10::toString(tensor.scalar_type())) + " on " +
         tensor.device().str();
}

bool same_spans(const RowLayout& a, const RowLayout& b) {
  const auto same = [](const Span& x, const Span& y) {
    return x.path == y.path && x.type == y.type && x.shape == y.shape && x.offset == y.offset;
  };
  return std::equal(a.spans().begin(), a.spans().end(), b.spans().begin(), b.spans().end(), same);
}

std::vector<double> edges_from(const std::byte* row, const engine::Plan& plan) {
  const size_t layers = plan.description().weight_layers.size();
  std::vector<double> edges;
  if (layers == 0) {
    return edges;
  }
  std::vector<double> smallest(layers), largest(layers);
  std::memcpy(smallest.data(), row + plan.layout().at("/links/min").offset, layers * sizeof(double));
  std::memcpy(largest.data(), row + plan.layout().at("/links/max").offset, layers * sizeof(double));
  for (size_t layer = 0; layer < layers; ++layer) {
    append_edges(smallest[layer], largest[layer], plan.options().histogram_bins, edges);
  }
  return edges;
}

}  // namespace

/// A plan and its backend; rows on their way to the sink keep it alive.
class Parameters::Compiled final : public Blocks {
 public:
  Compiled(const Network& network, const engine::PlanOptions& options, int64_t& slots, bool timed)
      : plan(network, options) {
    if (slots == 0) {
      slots = fitting_slots(plan.layout().bytes());
    }
    backend = engine::make_backend(plan, slots, timed);
  }

  bool ready(int64_t slot) override { return backend->ready(slot); }
  void wait(int64_t slot) override { backend->wait(slot); }
  const std::byte* row(int64_t slot) const override { return backend->row(slot); }
  double device_seconds(int64_t slot) override { return backend->device_seconds(slot); }

  engine::Plan plan;
  std::unique_ptr<engine::Backend> backend;
};

Parameters::Parameters(NamedModules modules, Network network, engine::PlanOptions options, int64_t slots, bool timed)
    : modules_(std::move(modules)),
      options_(std::move(options)),
      slots_(slots),
      timed_(timed),
      network_(std::move(network)),
      views_(network_),
      compiled_(std::make_shared<Compiled>(network_, options_, slots_, timed_)) {
  // A graph made by hand may have tensors that no module knows.
  const auto known = registered(modules_);
  for (const NamedParameter& parameter : network_.parameters) {
    const auto found = known.find(parameter.name);
    is_registered_.push_back(found != known.end() && found->second.is_same(parameter.value));
  }
}

Parameters::~Parameters() = default;

std::shared_ptr<Blocks> Parameters::measure_first(int64_t slot) {
  const auto& backend = compiled_->backend;
  engine::Plan& plan = compiled_->plan;
  engine::compute_weights(network_);
  backend->measure(slot, false);
  backend->wait(slot);
  describe();
  if (options_.histogram != Histogram::kOff) {
    description_.histogram_edges = edges_from(backend->row(slot), plan);
    plan.set_histogram_edges(description_.histogram_edges);
    backend->measure(slot, true);
    backend->wait(slot);
  }
  return compiled_;
}

void Parameters::adopt_edges(std::vector<double> edges) {
  describe();
  description_.histogram_edges = std::move(edges);
  // Others than the plan's number are of another run, which the sink will refuse.
  const auto bins = static_cast<size_t>(options_.histogram_bins) + 1;
  if (options_.histogram != Histogram::kOff &&
      description_.histogram_edges.size() == description_.weight_layers.size() * bins) {
    compiled_->plan.set_histogram_edges(description_.histogram_edges);
  }
}

void Parameters::describe() {
  description_ = compiled_->plan.description();
  layout_ = compiled_->plan.layout();
  options_.stored = description_.parameters;
  description_.device = compiled_->backend->device();
  description_.backend = compiled_->backend->name();
  description_.torch_version = TORCH_VERSION;
  description_.parameter_count = description_.measured_count = 0;
  for (size_t i = 0; i < network_.parameters.size(); ++i) {
    description_.parameter_count += network_.parameters[i].value.numel();
    description_.measured_count += measured_numbers(network_, i, options_.metrics.bias() == Bias::kIn);
  }
}

std::optional<Change> Parameters::check(bool registrations) {
  std::string what;
  // Once known to have moved, only a loss is news: the text is not made again at every step.
  const engine::Fit fit = compiled_->plan.check(stale_ ? nullptr : &what);
  if (fit == engine::Fit::kLost) {
    if (stale_) {
      compiled_->plan.check(&what);
    }
    return Change{EventCode::kLayerLost, what};
  }
  if (fit == engine::Fit::kMoved && !std::exchange(stale_, true)) {
    return Change{EventCode::kReplanned, what};
  }
  return registrations ? check_registrations() : std::nullopt;
}

std::optional<Change> Parameters::check_registrations() {
  const auto now = registered(modules_);
  std::string replaced;
  for (size_t i = 0; i < network_.parameters.size(); ++i) {
    if (!is_registered_[i]) {
      continue;
    }
    const NamedParameter old = network_.parameters[i];
    const auto found = now.find(old.name);
    if (found == now.end() || !found->second.defined()) {
      return Change{EventCode::kLayerLost, old.name + " is no longer a registered parameter of the module"};
    }
    if (found->second.is_same(old.value)) {
      continue;
    }
    if (found->second.sizes() != old.value.sizes()) {
      return Change{EventCode::kLayerLost,
                    old.name + " was replaced: from " + text(old.value) + " to " + text(found->second)};
    }
    network_.parameters[i].value = found->second;
    replaced += (replaced.empty() ? "" : ", ") + old.name;
  }
  if (replaced.empty()) {
    return std::nullopt;
  }
  stale_ = true;
  return Change{EventCode::kReplanned, "the module has other parameters under the same names: " + replaced};
}

void Parameters::compile_again() {
  views_.renew(network_);
  engine::compute_weights_anew(network_);
  auto again = std::make_shared<Compiled>(network_, options_, slots_, timed_);
  if (!same_spans(layout_, again->plan.layout())) {
    throw Error("the parameters changed in a way that a row of the run cannot hold");
  }
  if (!description_.histogram_edges.empty()) {
    again->plan.set_histogram_edges(description_.histogram_edges);
  }
  compiled_ = std::move(again);
  stale_ = false;
}

std::shared_ptr<Blocks> Parameters::measure(int64_t slot, bool histogram) {
  if (stale_) {
    compile_again();
  } else {
    engine::compute_weights(network_);
  }
  compiled_->backend->measure(slot, histogram);
  return compiled_;
}

}  // namespace dynascope::monitor
