// SPDX-License-Identifier: BSD-3-Clause
#include "plan.hpp"

#include "plan_compiler.hpp"

#include <c10/util/StringUtil.h>

#include <cmath>
#include <stdexcept>
#include <utility>

namespace dynascope::engine {

Plan::Plan(Network network, PlanOptions options) : network_(std::move(network)), options_(std::move(options)) {
  if (options_.histogram_bins < 1) {
    throw std::invalid_argument("histogram_bins must be at least 1, got " + std::to_string(options_.histogram_bins));
  }
  PlanCompiler(*this).run();
  tables_.matrices = matrices_.data();
  tables_.tiles = tiles_.data();
  tables_.links = links_.data();
  tables_.nodes = nodes_.data();
  tables_.terms = terms_.data();
  tables_.coefficients = coefficients_.data();
  tables_.indices = indices_.data();
  tables_.copies = copies_.data();
  tables_.matrix_count = static_cast<int64_t>(matrices_.size());
  tables_.tile_count = static_cast<int64_t>(tiles_.size());
  tables_.link_count = static_cast<int64_t>(links_.size());
  tables_.node_count = static_cast<int64_t>(nodes_.size());
  tables_.copy_count = static_cast<int64_t>(copies_.size());
  tables_.term_count = static_cast<int64_t>(terms_.size());
  tables_.coefficient_count = static_cast<int64_t>(coefficients_.size());
  tables_.index_count = static_cast<int64_t>(indices_.size());
  tables_.histogram_bins = options_.histogram_bins;
}

void Plan::set_histogram_edges(std::vector<double> edges) {
  const auto bins = static_cast<size_t>(options_.histogram_bins);
  if (edges.size() != links_.size() * (bins + 1)) {
    throw std::invalid_argument("histogram edges must be " + std::to_string(links_.size()) + " times " +
                                std::to_string(bins + 1) + " values, got " + std::to_string(edges.size()));
  }
  for (size_t i = 0; i < edges.size(); ++i) {
    if (!std::isfinite(edges[i]) || (i % (bins + 1) != 0 && edges[i] < edges[i - 1])) {
      throw std::invalid_argument("histogram edges must be finite and ascending, got " + std::to_string(edges[i]) +
                                  " as edge " + std::to_string(i % (bins + 1)) + " of weight layer " +
                                  description_.weight_layers[i / (bins + 1)].name);
    }
  }
  histogram_edges_ = std::move(edges);
  description_.histogram_edges = histogram_edges_;
  tables_.histogram_edges = histogram_edges_.data();
  ++edges_version_;
}

Fit Plan::check(std::string* what) const {
  Fit fit = Fit::kSame;
  for (const Watched& watched : watched_) {
    if (watched.tensor.sizes() != at::IntArrayRef(watched.sizes)) {
      if (what != nullptr) {
        *what = watched.name +
                c10::str(" changed its shape from ", at::IntArrayRef(watched.sizes), " to ", watched.tensor.sizes());
      }
      return Fit::kLost;
    }
    if (watched.tensor.const_data_ptr() != watched.data ||
        watched.tensor.strides() != at::IntArrayRef(watched.strides) || watched.tensor.scalar_type() != watched.dtype ||
        watched.tensor.device() != watched.device) {
      if (what != nullptr && fit == Fit::kSame) {
        *what = watched.name + c10::str(" moved: was ", watched.dtype, " on ", watched.device, ", is ",
                                        watched.tensor.scalar_type(), " on ", watched.tensor.device());
      }
      fit = Fit::kMoved;
    }
  }
  return fit;
}

}  // namespace dynascope::engine
