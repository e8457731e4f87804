// SPDX-License-Identifier: BSD-3-Clause

// Plans of real networks on every backend: the row must be the cpu's, byte by byte.

#include "networks.hpp"
#include "support/backends.hpp"

#include <dynascope/error.hpp>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace dynascope::test {
namespace {

using engine::Plan;
using engine::PlanOptions;

class SameBits : public OnBackend {
 protected:
  using Make = Network (*)(at::Device, at::ScalarType, uint64_t);

  static PlanOptions everything() {
    PlanOptions options;
    options.components = true;
    options.histogram = Histogram::kEveryRow;
    options.histogram_bins = 33;
    options.record_parameters = true;
    return options;
  }

  static void set_edges(Plan& plan, double limit) {
    std::vector<double> edges;
    for (size_t layer = 0; layer < plan.description().weight_layers.size(); ++layer) {
      for (int bin = 0; bin <= 33; ++bin) {
        edges.push_back(limit * (2.0 * bin / 33.0 - 1.0));
      }
    }
    plan.set_histogram_edges(edges);
  }

  void expect_cpu_row(const Network& on_cpu, const Network& here, const PlanOptions& options, bool histogram) {
    Plan expected(on_cpu, options);
    Plan actual(here, options);
    set_edges(expected, 2.0);
    set_edges(actual, 2.0);
    const auto cpu = engine::make_backend(expected, 1);
    cpu->measure(0, histogram);
    const std::vector<std::byte> row = measure(actual, histogram);
    ASSERT_EQ(static_cast<int64_t>(row.size()), expected.layout().bytes());
    for (const Span& span : expected.layout().spans()) {
      const auto bytes = static_cast<size_t>(span.count * size_of(span.type));
      EXPECT_EQ(std::memcmp(cpu->row(0) + span.offset, row.data() + span.offset, bytes), 0) << span.path;
    }
    EXPECT_EQ(std::memcmp(cpu->row(0), row.data(), row.size()), 0) << "gaps between spans";
  }
};

DYNASCOPE_ON_EVERY_BACKEND(SameBits);

TEST_P(SameBits, EveryDtypeAndOption) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    for (const Granularity granularity : {Granularity::kUnit, Granularity::kChannel}) {
      SCOPED_TRACE(std::string(at::toString(dtype)) + " " + std::string(to_string(granularity)) + ", seed 1");
      PlanOptions options = everything();
      options.metrics.granularity(granularity);
      expect_cpu_row(mixed_network(at::kCPU, dtype, 1), mixed_network(device(), dtype, 1), options, true);
    }
  }
}

TEST_P(SameBits, PaperOptionsWithoutHistogram) {
  PlanOptions options = everything();
  options.metrics = MetricOptions::paper();
  expect_cpu_row(mixed_network(at::kCPU, at::kFloat, 2), mixed_network(device(), at::kFloat, 2), options, false);
}

TEST_P(SameBits, NonFiniteWeights) {
  const auto poison = [](Network network) {
    network.weight_layers[0].weight[3][1][0][2] = std::numeric_limits<double>::quiet_NaN();
    network.weight_layers[3].weight[60][7] = -std::numeric_limits<double>::infinity();
    return network;
  };
  expect_cpu_row(poison(mixed_network(at::kCPU, at::kFloat, 3)), poison(mixed_network(device(), at::kFloat, 3)),
                 everything(), true);
}

TEST_P(SameBits, IdentityLinks) {
  const Network on_cpu = skip_network(at::kCPU, at::kFloat, 8), here = skip_network(device(), at::kFloat, 8);
  EXPECT_GE(on_cpu.identity_layers.size(), 6U) << on_cpu;
  EXPECT_TRUE(on_cpu.skipped.empty()) << on_cpu;
  for (const Granularity granularity : {Granularity::kUnit, Granularity::kChannel}) {
    PlanOptions options = everything();
    options.metrics.granularity(granularity);
    expect_cpu_row(on_cpu, here, options, true);
  }
}

TEST_P(SameBits, MultilayerPerceptron) {
  PlanOptions options = everything();
  options.record_parameters = false;
  expect_cpu_row(mlp_network(at::kCPU, at::kFloat, 4), mlp_network(device(), at::kFloat, 4), options, true);
}

TEST_P(SameBits, RowsFollowTheWeightsAndTheEdges) {
  Network network = mlp_network(device(), at::kFloat, 5);
  PlanOptions options = everything();
  options.record_parameters = false;
  Plan plan(network, options);
  set_edges(plan, 1.0);
  const auto backend = GetParam().make(plan);
  const auto row = [&] {
    backend->measure(0, true);
    backend->wait(0);
    return std::vector<std::byte>(backend->row(0), backend->row(0) + plan.layout().bytes());
  };
  const std::vector<std::byte> first = row();
  EXPECT_EQ(row(), first);
  set_edges(plan, 3.0);
  const std::vector<std::byte> other_edges = row();
  EXPECT_NE(other_edges, first);
  const Span& histogram = plan.layout().at("/links/histogram");
  EXPECT_EQ(std::memcmp(first.data(), other_edges.data(), static_cast<size_t>(histogram.offset)), 0);
  network.weight_layers[0].weight.mul_(2.0);
  EXPECT_NE(row(), other_edges);
}

TEST_P(SameBits, TensorAndBlockHoldTheSameRow) {
  PlanOptions options = everything();
  Plan plan(mixed_network(device(), at::kFloat, 6), options);
  set_edges(plan, 2.0);
  const std::vector<std::byte> block = measure(plan, true);
  const at::Tensor row = GetParam().make(plan)->measure_to_tensor(true);
  EXPECT_EQ(row.device().type(), GetParam().device);
  const at::Tensor host = row.cpu();
  ASSERT_EQ(host.numel(), plan.layout().bytes());
  EXPECT_EQ(std::memcmp(host.const_data_ptr(), block.data(), block.size()), 0);
}

TEST_P(SameBits, HistogramWithoutEdgesIsAnError) {
  const Plan plan(mlp_network(device(), at::kFloat, 7), everything());
  const auto backend = GetParam().make(plan);
  EXPECT_THROW(backend->measure(0, true), Error);
  backend->measure(0, false);
  backend->wait(0);
}

}  // namespace
}  // namespace dynascope::test
