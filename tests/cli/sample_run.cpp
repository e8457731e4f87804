// SPDX-License-Identifier: BSD-3-Clause
// Writes a small run file for the tests of the command line, through the library's own sink. Every value is another,
// so that a table which mixes up rows, layers or metrics shows.
//
//   sample_run PATH finished   epochs 0 to 12, two rows each, closed
//   sample_run PATH killed     the same, but the process ends inside epoch 12 without closing the file
//   sample_run PATH growing    the same rows as killed, says "ready" and keeps the file open until its input ends
//   sample_run PATH sick       a NaN weight from row 3 on, an event, a layer name with control characters
//   sample_run PATH empty      no row
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/row_layout.hpp>

#include <cmath>
#include <cstring>
#include <iostream>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

constexpr int64_t kEpochs = 12;
constexpr int64_t kStepsPerEpoch = 10;

dynascope::RunDescription describe(bool sick) {
  dynascope::RunDescription run;
  const auto layer = [](std::string name, dynascope::Role role, std::vector<int64_t> shape,
                        std::vector<int64_t> stored) {
    dynascope::NodeLayerInfo info;
    info.name = std::move(name);
    info.role = role;
    info.shape = std::move(shape);
    info.stored_shape = std::move(stored);
    info.classes.resize(info.shape.size());
    return info;
  };
  run.node_layers = {layer("input", dynascope::Role::kInput, {1, 4, 4}, {1, 4, 4}),
                     layer("conv/a", dynascope::Role::kHidden, {2, 4, 4}, {2, 3, 4}),
                     layer(sick ? "fc\x1b[31m" : "fc", dynascope::Role::kOutput, {3}, {3})};
  run.node_layers[1].classes[1] = {0, 1, 1, 2};
  for (auto& info : run.node_layers) {
    info.multiplicity.assign(static_cast<size_t>(info.stored_units()), 1);
  }
  for (int i = 0; i < 24; ++i) {
    run.node_layers[1].multiplicity[static_cast<size_t>(i)] = i / 4 % 3 == 1 ? 2 : 1;
  }
  run.weight_layers = {{"conv/a.weight", 20, 0, 0}, {"fc.weight", 99, 0, 0}};
  run.connections = {{0, 1, 0}, {1, 2, 1}};
  run.skipped = {{"odd", "operator aten::fft_rfft is not understood"}};
  if (sick) {
    run.connections.pop_back();
    run.skipped.push_back({"aten::fft_rfft", "mixes units in a way that is not understood"});
    run.skipped.push_back({"idle.weight", "no operator used it in the traced forward pass (on this thread)"});
    run.skipped.push_back({"idle.bias", "used by aten::mm, to compute another tensor"});
    run.skipped.push_back({"output1", "a returned tensor is made of no activation"});
  }
  run.scalars = {"loss", "accuracy"};
  run.histogram_bins = 4;
  for (int i = 0; i < 10; ++i) {
    run.histogram_edges.push_back(i % 5 - 2);
  }
  run.torch_version = "2.11.0";
  run.device = "cpu";
  run.backend = "cpu";
  run.title = "sample";
  run.config = sick ? R"({"lr": 0.5, "parameters": {"all": 160, "measured": 119}})" : R"({"lr": 0.5})";
  return run;
}

void fill(std::vector<std::byte>& block, const dynascope::RowLayout& layout, int64_t row, bool sick) {
  int64_t number = 0;
  for (const auto& span : layout.spans()) {
    for (int64_t i = 0; i < span.count; ++i, ++number) {
      const double value = std::sin(static_cast<double>(1000 * row + number)) * 10;
      std::byte* at = block.data() + span.offset + i * dynascope::size_of(span.type);
      if (span.type == dynascope::RowType::kFloat64) {
        std::memcpy(at, &value, sizeof value);
      } else if (span.type == dynascope::RowType::kFloat32) {
        const auto narrow = static_cast<float>(value);
        std::memcpy(at, &narrow, sizeof narrow);
      } else {
        const int64_t count = span.path.find("nonfinite") == std::string::npos ? row + i : sick && row >= 3 && i == 1;
        std::memcpy(at, &count, sizeof count);
      }
    }
  }
  if (sick && row >= 3) {
    const double nan = std::nan("");
    std::memcpy(block.data() + layout.at("/nodes/fluctuation").offset + 8, &nan, sizeof nan);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: sample_run PATH finished|killed|growing|sick|empty\n";
    return 2;
  }
  const std::string kind = argv[2];
  const bool sick = kind == "sick";
  const auto description = describe(sick);
  const dynascope::RowLayout layout(description);
  dynascope::Hdf5Sink sink(argv[1]);
  sink.open(description, layout);
  std::vector<std::byte> block(static_cast<size_t>(layout.bytes()));
  const auto write = [&](int64_t row, int64_t epoch, bool end) {
    fill(block, layout, row, sick);
    dynascope::Row line;
    line.step = row * (kStepsPerEpoch / 2);
    line.epoch = epoch;
    line.epoch_end = end;
    line.time = static_cast<double>(row) * 2.5;
    line.snapshot_seconds = 0.001 * static_cast<double>(row + 1);
    line.dropped = row == 4 ? 3 : 0;
    line.scalars = {row == 0 ? std::nan("") : 1.0 / static_cast<double>(row), 0.5 + 0.01 * static_cast<double>(row)};
    line.values = block.data();
    sink.write({line});
  };
  const int64_t last = kind == "empty" ? -1 : kind == "killed" || kind == "growing" ? 2 * kEpochs - 1 : 2 * kEpochs;
  for (int64_t row = 0; row <= last; ++row) {
    write(row, (row + 1) / 2, row % 2 == 0);
  }
  if (sick) {
    dynascope::Event event;
    event.step = 15;
    event.code = dynascope::EventCode::kNonFinite;
    event.value = 1;
    event.message = "first non-finite value in fc.weight";
    sink.write(event);
  }
  sink.flush();
  if (kind == "killed") {
    _exit(0);
  }
  if (kind == "growing") {
    std::cout << "ready" << std::endl;
    std::cin.get();
  }
  sink.close();
}
