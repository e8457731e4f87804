// SPDX-License-Identifier: BSD-3-Clause
// A whole run into memory: every row holds what the plain functions say at that step, bit for bit.
#include "chain.hpp"
#include "devices.hpp"
#include "expect.hpp"
#include "oracle.hpp"

#include <dynascope/memory_sink.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/monitor.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace oracle {
namespace {

using dynascope::Histogram;
using dynascope::MemorySink;
using dynascope::MetricOptions;
using dynascope::Monitor;
using dynascope::MonitorOptions;

/// Values by dataset path, recomputed with the plain functions.
using Snapshot = std::map<std::string, std::vector<double>>;

std::vector<double> doubles(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU, at::kDouble).contiguous().flatten();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

Snapshot snapshot(const dynascope::Network& network, const MetricOptions& options) {
  Snapshot result;
  const auto strength = dynascope::node_strength(network, options);
  for (size_t i = 0; i < strength.size(); ++i) {
    result[dynascope::node_layer_path(i, strength.size(), network.node_layers[i].name) + "/strength"] =
        doubles(strength[i]);
  }
  result["/nodes/fluctuation"] = doubles(dynascope::layer_fluctuation(network, options));
  const auto links = dynascope::link_weights(network, options);
  result["/links/mean"] = doubles(links.mean);
  result["/links/std"] = doubles(links.std);
  result["/links/min"] = doubles(links.min);
  result["/links/max"] = doubles(links.max);
  result["/links/abs_mean"] = doubles(links.abs_mean);
  result["/links/norm"] = doubles(links.norm);
  result["/links/nonfinite"] = doubles(links.nonfinite);
  return result;
}

void expect_bits(const MemorySink& sink, size_t row, const Snapshot& expected) {
  for (const auto& [path, values] : expected) {
    const std::vector<double> got = sink.values(row, path);
    ASSERT_EQ(got.size(), values.size()) << path;
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(std::memcmp(&got[i], &values[i], sizeof(double)), 0)
          << path << "[" << i << "]: " << got[i] << ", expected " << values[i];
    }
  }
}

/// Entries of a weight layer that count.
std::vector<double> entries(const dynascope::WeightLayer& layer, bool with_bias) {
  std::vector<double> values = doubles(layer.weight);
  if (with_bias && layer.bias.defined()) {
    const auto more = doubles(layer.bias);
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

/// Bins [a, b), the last closed; below and above in the outer two.
std::vector<double> counted(const std::vector<double>& values, const std::vector<double>& edges) {
  std::vector<double> bins(edges.size() + 1);
  for (const double value : values) {
    if (!std::isfinite(value)) {
      continue;
    }
    size_t bin = 0;
    while (bin < edges.size() && value >= edges[bin]) {
      ++bin;
    }
    if (value == edges.back()) {
      bin = edges.size() - 1;
    }
    bins[bin] += 1;
  }
  return bins;
}

/// A small net, its optimizer, and a step that changes every weight.
struct Training {
  torch::nn::Sequential model;
  std::unique_ptr<torch::optim::SGD> optimizer;
  at::Tensor x, target;
  std::shared_ptr<MemorySink> sink = std::make_shared<MemorySink>();

  explicit Training(c10::Device device = c10::kCPU) {
    torch::manual_seed(6000);
    model = torch::nn::Sequential(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 4, 3).padding(1)), torch::nn::ReLU(),
                                  torch::nn::MaxPool2d(2),
                                  torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 3, 3).padding(1).bias(false)),
                                  torch::nn::ReLU(), torch::nn::Flatten(), torch::nn::Linear(3 * 4 * 4, 10));
    model->to(device);
    optimizer = std::make_unique<torch::optim::SGD>(model->parameters(), 0.5);
    x = torch::randn({8, 1, 8, 8}, device);
    target = torch::randn({8, 10}, device);
  }

  void step() {
    optimizer->zero_grad();
    torch::mse_loss(model->forward(x), target).backward();
    optimizer->step();
  }
  MonitorOptions options() { return MonitorOptions().sink(sink); }
  void trace(Monitor& monitor) {
    monitor.trace([&] { return model->forward(x); });
  }
};

class MonitoredRun : public OnDevice {};

TEST_P(MonitoredRun, RowsAreThePlainFunctionsAtTheirStep) {
  for (const MetricOptions& metrics :
       {MetricOptions(), MetricOptions::paper().bias(dynascope::Bias::kNone),
        MetricOptions().granularity(dynascope::Granularity::kChannel).boundary(dynascope::Boundary::kZero)}) {
    SCOPED_TRACE(text(metrics));
    Training training(device());
    Monitor monitor(training.model, training.options()
                                        .metrics(metrics)
                                        .every_n_steps(2)
                                        .components(true)
                                        .histogram(Histogram::kEveryRow)
                                        .scalars({"loss", "accuracy"}));
    training.trace(monitor);
    const auto network = dynascope::trace(training.model, [&] { return training.model->forward(training.x); });
    std::vector<Snapshot> at_step;
    std::vector<std::vector<std::vector<double>>> weights;
    const auto remember = [&] {
      at_step.push_back(snapshot(network, metrics));
      weights.emplace_back();
      for (const auto& layer : network.weight_layers) {
        weights.back().push_back(entries(layer, metrics.bias() == dynascope::Bias::kIn));
      }
    };
    remember();
    monitor.on_train_begin();
    for (int epoch = 1; epoch <= 2; ++epoch) {
      monitor.on_epoch_begin();
      for (int i = 0; i < 3; ++i) {
        training.step();
        remember();
        monitor.on_step_end();
      }
      monitor.on_epoch_end({{"loss", 0.5 * epoch}});
    }
    training.step();
    remember();
    monitor.on_step_end();
    training.step();
    remember();
    monitor.on_step_end();
    monitor.on_train_end();
    EXPECT_EQ(monitor.status().first_error, "");

    // Rows after steps 2, 4, 6 (its row completed by the epoch's end), 8; at the end of epoch 1 after step 3.
    const MemorySink& sink = *training.sink;
    struct When {
      int64_t step, epoch;
      bool end;
      double loss;
    };
    const double none = std::numeric_limits<double>::quiet_NaN();
    const std::vector<When> expected = {{0, 0, true, none},  {2, 1, false, none}, {3, 1, true, 0.5},
                                        {4, 2, false, none}, {6, 2, true, 1.0},   {8, 3, false, none}};
    ASSERT_EQ(sink.rows().size(), expected.size());
    EXPECT_EQ(monitor.status().rows_written, static_cast<int64_t>(expected.size()));
    EXPECT_EQ(monitor.status().rows_dropped, 0);
    for (size_t r = 0; r < expected.size(); ++r) {
      SCOPED_TRACE("row " + std::to_string(r));
      const auto& row = sink.rows()[r];
      EXPECT_EQ(row.step, expected[r].step);
      EXPECT_EQ(row.epoch, expected[r].epoch);
      EXPECT_EQ(row.epoch_end, expected[r].end);
      ASSERT_EQ(row.scalars.size(), 2u);
      EXPECT_TRUE(std::isnan(expected[r].loss) ? std::isnan(row.scalars[0]) : row.scalars[0] == expected[r].loss);
      EXPECT_TRUE(std::isnan(row.scalars[1]));
      EXPECT_GE(row.snapshot_seconds, 0);
      EXPECT_GE(row.time, r == 0 ? 0 : sink.rows()[r - 1].time);
      const auto step = static_cast<size_t>(row.step);
      expect_bits(sink, r, at_step[step]);

      // In-strength and out-strength beside their sum.
      const auto& layers = sink.description().node_layers;
      for (size_t i = 0; i < layers.size(); ++i) {
        const std::string path = dynascope::node_layer_path(i, layers.size(), layers[i].name);
        const auto in = sink.values(r, path + "/in_strength"), out = sink.values(r, path + "/out_strength");
        const auto strength = sink.values(r, path + "/strength");
        double sum = 0, units = 0, low = strength[0], high = strength[0];
        for (size_t u = 0; u < strength.size(); ++u) {
          EXPECT_NEAR(in[u] + out[u], strength[u], 2.4e-7 * (std::abs(in[u]) + std::abs(out[u])));
          const auto multiplicity = static_cast<double>(layers[i].multiplicity[u]);
          sum += strength[u] * multiplicity, units += multiplicity;
          low = std::min(low, strength[u]), high = std::max(high, strength[u]);
        }
        EXPECT_NEAR(sink.values(r, "/nodes/strength_mean")[i], sum / units, 1e-6 * (1 + std::abs(high - low)));
        EXPECT_EQ(static_cast<float>(sink.values(r, "/nodes/strength_min")[i]), static_cast<float>(low));
        EXPECT_EQ(static_cast<float>(sink.values(r, "/nodes/strength_max")[i]), static_cast<float>(high));
        EXPECT_EQ(sink.values(r, "/nodes/nonfinite")[i], 0);
      }

      // Histograms on edges fixed at the first row.
      const auto histogram = sink.values(r, "/links/histogram");
      const auto bins = static_cast<size_t>(sink.description().histogram_bins);
      ASSERT_EQ(histogram.size(), weights[step].size() * (bins + 2));
      for (size_t e = 0; e < weights[step].size(); ++e) {
        const auto first = sink.description().histogram_edges.begin() + static_cast<std::ptrdiff_t>(e * (bins + 1));
        const std::vector<double> edges(first, first + static_cast<std::ptrdiff_t>(bins + 1));
        const auto begin = histogram.begin() + static_cast<std::ptrdiff_t>(e * (bins + 2));
        EXPECT_EQ(std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(bins + 2)),
                  counted(weights[step][e], edges));
        double largest = 0;
        for (const double value : weights[0][e]) {
          largest = std::max(largest, std::abs(value));
        }
        for (size_t b = 0; b <= bins; ++b) {
          const double edge = -4 * largest + 8 * largest * static_cast<double>(b) / static_cast<double>(bins);
          EXPECT_NEAR(edges[b], edge, 1e-14 * largest);
        }
      }
    }
  }
}

TEST_P(MonitoredRun, ComponentsAreInAndOutStrengthOfTheDefinition) {
  for (uint64_t seed = 6100; seed < 6120; ++seed) {
    Chain chain = random_chain(seed);
    chain.model->to(device());
    SCOPED_TRACE(chain.text);
    auto sink = std::make_shared<MemorySink>();
    Monitor monitor(chain.model, MonitorOptions().sink(sink).components(true));
    const at::Tensor x = chain.example();
    monitor.trace([&] { return chain.model->forward(x); });
    monitor.on_train_begin();
    monitor.on_train_end();
    ASSERT_EQ(sink->rows().size(), 1u);
    const Strengths expected = strengths(chain, {}), magnitude = strengths(chain, {}, magnitudes());
    const auto& layers = sink->description().node_layers;
    ASSERT_EQ(layers.size(), expected.in.size());
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string path = dynascope::node_layer_path(i, layers.size(), layers[i].name);
      for (const bool in : {true, false}) {
        SCOPED_TRACE(layers[i].name + (in ? " in" : " out"));
        const at::Tensor wanted = (in ? expected.in : expected.out)[i];
        const at::Tensor bound = 1e-6 * (1 + (in ? magnitude.in : magnitude.out)[i].flatten());
        const auto values = sink->values(0, path + (in ? "/in_strength" : "/out_strength"));
        const at::Tensor got = spread(expand(layers[i], at::tensor(values, at::kDouble)), wanted);
        ASSERT_TRUE(got.defined());
        EXPECT_LE(((got - wanted.flatten()).abs() / bound).max().item<double>(), 1);
      }
    }
  }
}

TEST_P(MonitoredRun, HistogramIsFilledAtEpochEndsOnly) {
  Training training(device());
  Monitor monitor(training.model, training.options().every_n_steps(1).histogram_bins(16));
  training.trace(monitor);
  monitor.on_train_begin();
  for (int i = 0; i < 3; ++i) {
    training.step();
    monitor.on_step_end();
  }
  monitor.on_epoch_end();
  monitor.on_train_end();
  const MemorySink& sink = *training.sink;
  ASSERT_EQ(sink.rows().size(), 4u);
  for (size_t r = 0; r < 4; ++r) {
    SCOPED_TRACE(r);
    EXPECT_EQ(sink.rows()[r].epoch_end, r == 0 || r == 3);
    for (size_t e = 0; e < 3; ++e) {
      const auto histogram = sink.values(r, "/links/histogram");
      double total = 0;
      for (size_t b = 0; b < 18; ++b) {
        total += histogram[e * 18 + b];
      }
      const auto count = static_cast<double>(sink.description().weight_layers[e].count);
      EXPECT_EQ(total, r == 0 || r == 3 ? count : -18);
    }
  }
}

TEST_P(MonitoredRun, HistogramSkipsWhatIsNotFinite) {
  Training training(device());
  {
    const at::NoGradGuard guard;
    training.model->parameters()[0].view({-1})[1].fill_(std::numeric_limits<double>::quiet_NaN());
    training.model->parameters()[2].fill_(std::numeric_limits<double>::infinity());
    training.model->parameters()[3].zero_();
    training.model->parameters()[4].zero_();
  }
  Monitor monitor(training.model, training.options().histogram_bins(4));
  training.trace(monitor);
  monitor.on_train_begin();
  monitor.on_train_end();
  const MemorySink& sink = *training.sink;
  const auto histogram = sink.values(0, "/links/histogram");
  const auto& edges = sink.description().histogram_edges;
  double counted_entries = 0;
  for (size_t b = 0; b < 6; ++b) {
    counted_entries += histogram[b];
  }
  EXPECT_EQ(counted_entries, 4 * 9 + 4 - 1);
  // Nothing finite, or nothing but zeros: edges from -1 to 1.
  for (size_t e = 1; e < 3; ++e) {
    EXPECT_EQ(std::vector<double>(edges.begin() + static_cast<std::ptrdiff_t>(5 * e),
                                  edges.begin() + static_cast<std::ptrdiff_t>(5 * e + 5)),
              (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  }
  EXPECT_EQ(std::vector<double>(histogram.begin() + 6, histogram.begin() + 12), std::vector<double>(6, 0));
  EXPECT_EQ(std::vector<double>(histogram.begin() + 12, histogram.end()),
            (std::vector<double>{0, 0, 0, 3 * 16 * 10 + 10, 0, 0}));
  EXPECT_GT(sink.values(0, "/nodes/nonfinite")[0], 0);
}

TEST_P(MonitoredRun, EdgesStayWhileWeightsGrow) {
  Training training(device());
  Monitor monitor(training.model, training.options().histogram_bins(8));
  training.trace(monitor);
  monitor.on_train_begin();
  {
    const at::NoGradGuard guard;
    training.model->parameters()[0].fill_(1000);
    training.model->parameters()[1].fill_(-1000);
  }
  monitor.on_step_end();
  monitor.on_epoch_end();
  monitor.on_train_end();
  const auto histogram = training.sink->values(1, "/links/histogram");
  EXPECT_EQ(std::vector<double>(histogram.begin(), histogram.begin() + 10),
            (std::vector<double>{4, 0, 0, 0, 0, 0, 0, 0, 0, 36}));
}

TEST_P(MonitoredRun, TwoEpochEndsWithoutAStepAreTwoRows) {
  Training training(device());
  Monitor monitor(training.model, training.options().scalars({"loss"}));
  training.trace(monitor);
  monitor.on_train_begin();
  training.step();
  monitor.on_step_end();
  monitor.on_epoch_end({{"loss", 1}});
  monitor.on_epoch_end({{"loss", 2}});
  monitor.on_train_end();
  const auto& rows = training.sink->rows();
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].epoch, 1);
  EXPECT_EQ(rows[2].epoch, 2);
  EXPECT_EQ(rows[2].step, 1);
  EXPECT_EQ(rows[1].scalars[0], 1);
  EXPECT_EQ(rows[2].scalars[0], 2);
}

TEST_P(MonitoredRun, LoggedValuesGoToTheNextRow) {
  Training training(device());
  Monitor monitor(training.model, training.options().every_n_steps(2).scalars({"reward"}));
  training.trace(monitor);
  monitor.on_train_begin();
  for (int i = 1; i <= 5; ++i) {
    training.step();
    if (i == 3) {
      monitor.log("reward", 7);
    }
    monitor.on_step_end();
  }
  monitor.on_train_end();
  const auto& rows = training.sink->rows();
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_TRUE(std::isnan(rows[0].scalars[0]));
  EXPECT_TRUE(std::isnan(rows[1].scalars[0]));
  EXPECT_EQ(rows[2].scalars[0], 7);
}

TEST_P(MonitoredRun, MonitoringDoesNotChangeTraining) {
  Training alone(device()), watched(device());
  Monitor monitor(watched.model, watched.options().every_n_steps(1));
  watched.trace(monitor);
  monitor.on_train_begin();
  for (int i = 0; i < 5; ++i) {
    alone.step();
    watched.step();
    monitor.on_step_end();
  }
  monitor.on_train_end();
  const auto expected = alone.model->parameters(), got = watched.model->parameters();
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(at::equal(got[i], expected[i]));
  }
}

ORACLE_ON_EVERY_DEVICE(MonitoredRun);

}  // namespace
}  // namespace oracle
