// SPDX-License-Identifier: BSD-3-Clause
// Writes run files that are hard to display, through the library's own sink: every third layer has maps, every tenth
// layer a skip, a tenth of the units never changes, summaries are those of the strengths.
//
//   display_run PATH large ROWS      300 node layers, 1.4 MB a row
//   display_run PATH hostile ROWS    4 node layers; every text is made to become part of a page
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/row_layout.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr const char* kHostile =
    "</script><script>window.hacked=1</script><img src=x onerror=\"window.hacked=1\">'&amp;\x1b[31m";

dynascope::NodeLayerInfo node_layer(size_t position, size_t count, const std::string& name) {
  dynascope::NodeLayerInfo layer;
  layer.name = name;
  layer.role = position == 0           ? dynascope::Role::kInput
               : position + 1 == count ? dynascope::Role::kOutput
                                       : dynascope::Role::kHidden;
  layer.shape = {1000};
  if (position % 3 == 0) {
    layer.shape = {64, 28, 28};
  }
  layer.stored_shape = layer.shape;
  layer.classes.resize(layer.shape.size());
  for (size_t axis = 1; axis < layer.shape.size(); ++axis) {
    layer.stored_shape[axis] = 3;
    layer.classes[axis].assign(28, 1);
    layer.classes[axis].front() = 0;
    layer.classes[axis].back() = 2;
  }
  for (int64_t unit = 0; unit < layer.stored_units(); ++unit) {
    const bool mapped = layer.shape.size() > 1;
    layer.multiplicity.push_back(mapped ? (unit / 3 % 3 == 1 ? 26 : 1) * (unit % 3 == 1 ? 26 : 1) : 1);
  }
  return layer;
}

dynascope::RunDescription describe(bool hostile) {
  dynascope::RunDescription run;
  const size_t count = hostile ? 4 : 300;
  const std::string text = hostile ? kHostile : "";
  for (size_t i = 0; i < count; ++i) {
    const std::string name = (hostile ? text : "blocks.") + std::to_string(i);
    run.node_layers.push_back(node_layer(i, count, name));
    if (i > 0) {
      run.connections.push_back({static_cast<int32_t>(i) - 1, static_cast<int32_t>(i), static_cast<int32_t>(i) - 1});
      run.weight_layers.push_back({name + ".weight", 1000, 0, 0});
    }
    if (i >= 10 && i % 10 == 0) {
      run.connections.push_back({static_cast<int32_t>(i) - 10, static_cast<int32_t>(i), -1});
    }
  }
  for (size_t i = 0; i < run.weight_layers.size(); ++i) {
    for (int64_t edge = 0; edge <= run.histogram_bins; ++edge) {
      run.histogram_edges.push_back(static_cast<double>(edge - 64) / 64);
    }
  }
  run.scalars = {"accuracy", text + "loss"};
  run.skipped = {{text + "aten::sort", text + "mixes units"}};
  run.torch_version = "2.11.0";
  run.device = "cpu" + text;
  run.backend = "cpu";
  run.title = "large" + text;
  run.source = "sample" + text;
  run.config = hostile ? "{\"a\": \"</script>\"}" : "{}";
  return run;
}

template <class T>
void put(std::vector<std::byte>& block, const dynascope::Span& span, size_t at, T value) {
  std::memcpy(block.data() + span.offset + at * sizeof value, &value, sizeof value);
}

void fill_nodes(std::vector<std::byte>& block, const dynascope::RowLayout& layout, const dynascope::RunDescription& run,
                int64_t row) {
  for (size_t layer = 0; layer < run.node_layers.size(); ++layer) {
    const auto& info = run.node_layers[layer];
    const auto& span = layout.at(dynascope::node_layer_path(layer, run.node_layers.size(), info.name) + "/strength");
    double sum = 0, squares = 0, units = 0, low = 1e300, high = -1e300;
    for (size_t unit = 0; unit < info.multiplicity.size(); ++unit) {
      const double start = std::sin(static_cast<double>(unit * 37 + layer));
      const double growth = unit % 10 == 9 ? 0 : 0.02 * static_cast<double>(row) * start;
      const auto value = static_cast<float>(start + growth);
      put(block, span, unit, value);
      const auto many = static_cast<double>(info.multiplicity[unit]);
      sum += many * static_cast<double>(value);
      squares += many * static_cast<double>(value) * static_cast<double>(value);
      units += many;
      low = std::min(low, static_cast<double>(value));
      high = std::max(high, static_cast<double>(value));
    }
    const double mean = sum / units;
    put(block, layout.at("/nodes/fluctuation"), layer, std::sqrt(std::max(0.0, squares / units - mean * mean)));
    put(block, layout.at("/nodes/strength_mean"), layer, mean);
    put(block, layout.at("/nodes/strength_min"), layer, low);
    put(block, layout.at("/nodes/strength_max"), layer, high);
  }
}

void fill_links(std::vector<std::byte>& block, const dynascope::RowLayout& layout, const dynascope::RunDescription& run,
                int64_t row) {
  const auto bins = static_cast<size_t>(run.histogram_bins) + 2;
  for (size_t link = 0; link < run.weight_layers.size(); ++link) {
    put(block, layout.at("/links/std"), link, 0.1 + 0.001 * static_cast<double>(row));
    put(block, layout.at("/links/norm"), link, 3.0);
    for (size_t bin = 0; bin < bins; ++bin) {
      const double away = (static_cast<double>(bin) - 65) / 20;
      put(block, layout.at("/links/histogram"), link * bins + bin, static_cast<int64_t>(1000 * std::exp(-away * away)));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: display_run PATH large|hostile ROWS\n";
    return 2;
  }
  const bool hostile = std::string(argv[2]) == "hostile";
  const auto run = describe(hostile);
  const dynascope::RowLayout layout(run);
  dynascope::Hdf5Sink sink(argv[1]);
  sink.open(run, layout);
  std::vector<std::byte> block(static_cast<size_t>(layout.bytes()));
  for (int64_t row = 0; row < std::stoll(argv[3]); ++row) {
    fill_nodes(block, layout, run, row);
    fill_links(block, layout, run, row);
    dynascope::Row line;
    line.step = 100 * row;
    line.epoch = row;
    line.epoch_end = true;
    line.time = static_cast<double>(row);
    line.scalars = {1 - std::exp(-0.1 * static_cast<double>(row)), std::exp(-0.1 * static_cast<double>(row))};
    line.values = block.data();
    sink.write({line});
  }
  dynascope::Event event;
  event.code = dynascope::EventCode::kError;
  event.message = hostile ? kHostile : "nothing";
  sink.write(event);
  sink.close();
}
