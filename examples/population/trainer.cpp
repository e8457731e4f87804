// SPDX-License-Identifier: BSD-3-Clause
#include "trainer.hpp"

#include "stack.hpp"

#include <dynascope/metrics.hpp>
#include <dynascope/row_layout.hpp>

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace examples {
namespace {

// A layer's value in the block of a member.
double value_of(const std::vector<std::byte>& block, const dynascope::Span& span, size_t layer) {
  double value = 0;
  std::memcpy(&value, block.data() + static_cast<size_t>(span.offset) + layer * sizeof value, sizeof value);
  return value;
}

}  // namespace

Trainer::Trainer(Protocol protocol, const DataSet& data)
    : protocol_(std::move(protocol)),
      data_(data),
      layers_(make_layers(protocol_.model, protocol_.hidden, data.train.images.size(1), data.train.images.size(-1),
                          data.classes)),
      network_(trace_layers(layers_, data.train.images.size(1), data.train.images.size(-1))) {}

dynascope::RunDescription Trainer::describe() const {
  dynascope::RunDescription description = dynascope::describe(network_);
  description.scalars = kMemberScalars;
  return description;
}

int64_t Trainer::images(bool cut) const {
  const int64_t all = data_.train.size();
  const auto part = static_cast<int64_t>(std::llround(protocol_.cut_images * static_cast<double>(all)));
  return cut ? std::clamp<int64_t>(part, 1, all) : all;
}

std::vector<at::Tensor> Trainer::batches_of(int64_t epoch, bool cut) const {
  const uint64_t seed = mix(protocol_.seed, 0x100000000U + static_cast<uint64_t>(epoch));
  const at::Tensor order = at::randperm(images(cut), at::detail::createCPUGenerator(seed), at::kLong);
  return order.split(protocol_.batch_size);
}

Trained Trainer::train(const Group& group, const dynascope::RunDescription& description,
                       const std::function<void(int64_t)>& on_epoch) const {
  const bool cut = group.front().cut;
  Stack stack(layers_, group, protocol_.scale);
  Trained trained;
  int64_t steps = 0;
  for (int64_t epoch = 1; stack.size() > 0; ++epoch) {
    for (const at::Tensor& batch : batches_of(epoch, cut)) {
      stack.step(data_.train.images.index_select(0, batch), data_.train.labels.index_select(0, batch));
      ++steps;
    }
    const Stack::Scores scores = stack.evaluate(data_.test);
    const at::Tensor rows =
        dynascope::measure_rows(dynascope::with_parameters(network_, stack.parameters()), description);
    const auto* bytes = reinterpret_cast<const std::byte*>(rows.const_data_ptr<uint8_t>());
    for (size_t i = 0; i < stack.nets().size(); ++i) {
      const Net& net = stack.nets()[i];
      trained.members.push_back({net.number,
                                 epoch,
                                 steps,
                                 net.seed,
                                 {scores.accuracy[i], scores.loss[i], net.adam ? 1.0 : 0.0,
                                  static_cast<double>(images(cut)), static_cast<double>(net.initialiser)},
                                 nullptr});
      const std::byte* block = bytes + static_cast<int64_t>(i) * rows.size(1);
      trained.blocks.emplace_back(block, block + rows.size(1));
    }
    on_epoch(stack.size());
    stack.keep_longer_than(epoch);
  }
  return trained;
}

dynascope::RunDescription with_histograms(dynascope::RunDescription description, const Trained& pilot, int64_t bins) {
  const dynascope::RowLayout layout(description);
  const dynascope::Span& least = layout.at("/links/min");
  const dynascope::Span& most = layout.at("/links/max");
  description.histogram = dynascope::Histogram::kEveryRow;
  description.histogram_bins = bins;
  description.histogram_edges.clear();
  for (size_t layer = 0; layer < description.weight_layers.size(); ++layer) {
    std::vector<double> reaches;
    for (const auto& block : pilot.blocks) {
      const double reach = std::max(std::abs(value_of(block, least, layer)), std::abs(value_of(block, most, layer)));
      if (std::isfinite(reach) && reach > 0) {
        reaches.push_back(reach);
      }
    }
    std::sort(reaches.begin(), reaches.end());
    const double limit = reaches.empty() ? 1 : 2 * reaches[reaches.size() / 2];
    for (int64_t edge = 0; edge <= bins; ++edge) {
      description.histogram_edges.push_back(limit * static_cast<double>(2 * edge - bins) / static_cast<double>(bins));
    }
  }
  return description;
}

}  // namespace examples
