// SPDX-License-Identifier: BSD-3-Clause

// Sums and statistics of single weights: bits, accuracy, non-finite values, histograms, dtypes, empty tensors.

#include "hand_network.hpp"
#include "support/backends.hpp"

#include <dynascope/error.hpp>

#include <ATen/Parallel.h>

#include <cmath>
#include <random>

namespace dynascope::test {
namespace {

using engine::Plan;
using engine::PlanOptions;
using Values = std::vector<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const char* const kColumns[] = {"mean", "std", "min", "max", "abs_mean", "norm", "nonfinite"};

at::Tensor random_tensor(std::vector<int64_t> shape, uint64_t seed, at::ScalarType dtype = at::kFloat) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  at::Tensor result = torch::empty(shape, torch::kDouble);
  double* data = result.mutable_data_ptr<double>();
  for (int64_t i = 0; i < result.numel(); ++i) {
    data[i] = normal(random);
  }
  return result.to(dtype);
}

std::string described(const std::vector<int64_t>& shape, uint64_t seed) {
  return "seed " + std::to_string(seed) + ", shape " + c10::str(at::IntArrayRef(shape));
}

/// What there is to know of a set of values, in long double.
struct Exact {
  long double sum = 0, abs_sum = 0, mean = 0, std = 0, norm = 0;
  explicit Exact(const at::Tensor& tensor) {
    const at::Tensor flat = tensor.to(at::kCPU, at::kDouble).contiguous().view({-1});
    const double* data = flat.const_data_ptr<double>();
    long double squares = 0;
    for (int64_t i = 0; i < flat.numel(); ++i) {
      sum += data[i];
      abs_sum += std::fabs(data[i]);
      squares += static_cast<long double>(data[i]) * data[i];
    }
    const auto count = static_cast<long double>(flat.numel());
    mean = sum / count;
    norm = std::sqrt(squares);
    long double m2 = 0;
    for (int64_t i = 0; i < flat.numel(); ++i) {
      m2 += (data[i] - mean) * (data[i] - mean);
    }
    std = std::sqrt(m2 / count);
  }
};

class Reduce : public OnBackend {
 protected:
  /// Every statistic of `actual` is within 1e-6 of the exact one, sums within 6e-8 of the sum of absolute values.
  void expect_accurate(const at::Tensor& weight) const {
    const Plan plan(single_weight(weight.to(device())), {});
    const auto row = measure(plan);
    const Exact exact(weight);
    const auto count = static_cast<double>(weight.numel());
    EXPECT_NEAR(values(plan, row, "/links/mean")[0] * count, static_cast<double>(exact.sum),
                6e-8 * static_cast<double>(exact.abs_sum));
    EXPECT_NEAR(values(plan, row, "/links/abs_mean")[0] * count, static_cast<double>(exact.abs_sum),
                6e-8 * static_cast<double>(exact.abs_sum));
    EXPECT_NEAR(values(plan, row, "/links/std")[0], static_cast<double>(exact.std),
                1e-6 * static_cast<double>(exact.std));
    EXPECT_NEAR(values(plan, row, "/links/norm")[0], static_cast<double>(exact.norm),
                1e-6 * static_cast<double>(exact.norm));
    const Values rows = values(plan, row, "/links/000_w/row_sum");
    for (int64_t i = 0; i < weight.size(0); ++i) {
      const Exact line(weight[i]);
      ASSERT_NEAR(rows[static_cast<size_t>(i)], static_cast<double>(line.sum),
                  6e-8 * static_cast<double>(line.abs_sum) + 6e-8 * std::fabs(static_cast<double>(line.sum)))
          << "row " << i;
    }
    const Values columns = values(plan, row, "/links/000_w/column_sum");
    const at::Tensor flat = weight.reshape({weight.size(0), -1});
    for (int64_t i = 0; i < flat.size(1); ++i) {
      const Exact line(flat.select(1, i));
      ASSERT_NEAR(columns[static_cast<size_t>(i)], static_cast<double>(line.sum),
                  6e-8 * static_cast<double>(line.abs_sum) + 6e-8 * std::fabs(static_cast<double>(line.sum)))
          << "column " << i;
    }
  }

  /// Rows of two weights with equal values have equal bits.
  void expect_same_bits(const at::Tensor& a, const at::Tensor& b) const {
    const Plan plan_a(single_weight(a), {});
    const Plan plan_b(single_weight(b), {});
    EXPECT_EQ(measure(plan_a), measure(plan_b));
  }
};

TEST_P(Reduce, ViewsOfTheSameValuesGiveTheSameBits) {
  for (const auto& shape :
       std::vector<std::vector<int64_t>>{{67, 130}, {5, 700}, {300, 3}, {12, 9, 3, 5}, {4, 2, 300}}) {
    SCOPED_TRACE(described(shape, 1));
    const at::Tensor plain = random_tensor(shape, 1).to(device());
    const at::Tensor transposed = plain.transpose(0, 1).contiguous().transpose(0, 1);
    std::vector<int64_t> wider = shape;
    wider.back() = 2 * wider.back() + 1;
    const at::Tensor strided = torch::zeros(wider, plain.options()).slice(-1, 1, wider.back(), 2);
    strided.copy_(plain);
    std::vector<int64_t> longer = shape;
    longer[0] += 3;
    const at::Tensor offset = torch::zeros(longer, plain.options()).narrow(0, 2, shape[0]);
    offset.copy_(plain);
    expect_same_bits(plain, transposed);
    expect_same_bits(plain, strided);
    expect_same_bits(plain, offset);
    if (shape.size() == 4) {
      expect_same_bits(plain, plain.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
}

TEST_P(Reduce, ThreadsDoNotChangeBits) {
  PlanOptions options;
  options.histogram = Histogram::kEveryRow;
  Plan plan(chain({{random_tensor({300, 1000}, 2).to(device()), random_tensor({300}, 3).to(device())},
                   {random_tensor({500, 300}, 4).to(device()), {}}}),
            options);
  set_edges(plan, -4, 4);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = measure(plan, true);
  for (const int count : {2, 3, 7}) {
    at::set_num_threads(count);
    EXPECT_EQ(measure(plan, true), alone) << count << " threads";
  }
  at::set_num_threads(threads);
}

TEST_P(Reduce, EveryBackendHasTheBitsOfTheCpu) {
  PlanOptions options;
  options.histogram = Histogram::kEveryRow;
  options.record_parameters = true;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    std::mt19937_64 random(seed);
    const auto size = [&](int64_t most) { return static_cast<int64_t>(random() % static_cast<uint64_t>(most)) + 1; };
    std::vector<int64_t> shape = {size(200), size(300)};
    if (seed % 2 == 1) {
      shape = {size(90), size(20), size(7), size(7)};
    }
    SCOPED_TRACE(described(shape, seed));
    const at::ScalarType dtype = std::vector{at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}[seed % 4];
    const at::Tensor weight = random_tensor(shape, seed, dtype);
    const auto row_on = [&](const at::Tensor& parameter, bool reference) {
      Network network = single_weight(parameter, parameter.flatten().narrow(0, 0, 1));
      network.parameters = {{"w", parameter}};
      Plan plan(network, options);
      set_edges(plan, -2, 2);
      if (!reference) {
        return measure(plan, true);
      }
      const auto cpu = engine::make_backend(plan, 1);
      cpu->measure(0, true);
      return std::vector<std::byte>(cpu->row(0), cpu->row(0) + plan.layout().bytes());
    };
    EXPECT_EQ(row_on(weight.to(device()), false), row_on(weight, true));
  }
}

TEST_P(Reduce, RandomShapesAreAccurate) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto size = [&](int64_t most) { return static_cast<int64_t>(random() % static_cast<uint64_t>(most)) + 1; };
    std::vector<int64_t> shape = {size(150), size(150)};
    if (seed % 3 == 1) {
      shape = {size(20), size(10), size(8), size(8)};
    } else if (seed % 3 == 2) {
      shape = {size(8), size(4), size(600)};
    }
    SCOPED_TRACE(described(shape, seed));
    expect_accurate(random_tensor(shape, seed, seed % 2 == 0 ? at::kFloat : at::kDouble));
  }
}

TEST_P(Reduce, HardValuesAreAccurate) {
  const at::Tensor noise = random_tensor({70, 900}, 5, at::kDouble);
  const at::Tensor signs = (torch::arange(70 * 900, torch::kDouble).remainder(2) * 2 - 1).view({70, 900});
  {
    SCOPED_TRACE("constant 0.1");
    expect_accurate(torch::full({70, 900}, 0.1, torch::kFloat));
  }
  {
    SCOPED_TRACE("1e8 and noise, |mean| / std = 1e8");
    expect_accurate(noise + 1e8);
  }
  {
    SCOPED_TRACE("|mean| / std = 1e4 in float32");
    expect_accurate((noise * 1e-4 + 1).to(at::kFloat));
  }
  {
    SCOPED_TRACE("1e8 and noise in float32");
    expect_accurate((noise + 1e8).to(at::kFloat));
  }
  {
    SCOPED_TRACE("N(0, 0.02) in float32");
    expect_accurate((noise * 0.02).to(at::kFloat));
  }
  {
    SCOPED_TRACE("a mean as large as the spread in float32");
    expect_accurate((noise + 0.99).to(at::kFloat));
  }
  {
    SCOPED_TRACE("one long row, one long column in float32");
    expect_accurate(noise.view({1, -1}).to(at::kFloat));
    expect_accurate(noise.view({-1, 1}).to(at::kFloat));
  }
  {
    SCOPED_TRACE("4e36 in float32");
    expect_accurate((signs * 4e36).to(at::kFloat));
  }
  {
    SCOPED_TRACE("alternating 1e30");
    expect_accurate((signs * 1e30).to(at::kFloat));
  }
  {
    SCOPED_TRACE("subnormal float32");
    expect_accurate((noise * 1e-41).to(at::kFloat));
  }
  {
    SCOPED_TRACE("one outlier first");
    at::Tensor outlier = noise * 1e-3;
    outlier[0][0] = 1e4;
    expect_accurate(outlier);
  }
}

TEST_P(Reduce, ConstantHasNoSpread) {
  const Plan plan(single_weight(torch::full({130, 700}, 0.1, torch::kFloat).to(device())), {});
  const auto row = measure(plan);
  EXPECT_EQ(values(plan, row, "/links/std")[0], 0.0);
  EXPECT_EQ(values(plan, row, "/links/mean")[0], static_cast<double>(0.1F));
}

TEST_P(Reduce, ShortDtypesCountWithTheirExactValues) {
  const at::Tensor numbers = random_tensor({50, 300}, 6, at::kDouble);
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    SCOPED_TRACE(c10::toString(dtype));
    const at::Tensor rounded = numbers.to(dtype).to(device());
    expect_same_bits(rounded, rounded.to(at::kFloat));
  }
  const at::Tensor halves =
      torch::arange(0, 65536, torch::kInt).to(torch::kShort).view(at::kHalf).view({256, 256}).to(device());
  const at::Tensor finite = torch::where(halves.isfinite(), halves, torch::zeros_like(halves));
  expect_same_bits(finite, finite.to(at::kFloat));
}

TEST_P(Reduce, NonFiniteValuesAreCountedAndLeftOutOfTheRange) {
  at::Tensor weight = random_tensor({70, 300}, 7).clamp(-1, 1);
  weight[0][0] = kNaN;
  weight[69][299] = kInfinity;
  weight[3][17] = -kInfinity;
  weight[5][5] = 2;
  weight[6][6] = -3;
  PlanOptions options;
  options.histogram = Histogram::kEveryRow;
  options.histogram_bins = 4;
  Plan plan(single_weight(weight.to(device())), options);
  set_edges(plan, -4, 4);
  const auto row = measure(plan, true);
  EXPECT_EQ(values(plan, row, "/links/nonfinite")[0], 3);
  EXPECT_EQ(values(plan, row, "/links/min")[0], -3);
  EXPECT_EQ(values(plan, row, "/links/max")[0], 2);
  for (const char* column : {"mean", "std", "abs_mean", "norm"}) {
    EXPECT_TRUE(std::isnan(values(plan, row, std::string("/links/") + column)[0])) << column;
  }
  double counted = 0;
  for (const double count : values(plan, row, "/links/histogram")) {
    counted += count;
  }
  EXPECT_EQ(counted, 70 * 300 - 3);
}

TEST_P(Reduce, NothingFiniteLeavesCanonicalNaN) {
  const at::Tensor weight = torch::full({2, 3}, -kNaN, torch::kFloat).to(device());
  const Plan plan(single_weight(weight), {});
  const auto row = measure(plan);
  const Plan other(single_weight(torch::full({2, 3}, kNaN, torch::kFloat).to(device())), {});
  EXPECT_EQ(row, measure(other));
  EXPECT_TRUE(std::isnan(values(plan, row, "/links/min")[0]));
  EXPECT_EQ(values(plan, row, "/links/nonfinite")[0], 6);
}

TEST_P(Reduce, NegativeZeroIsStoredAsZero) {
  const Plan plan(single_weight(torch::full({3, 2}, -0.0, torch::kFloat).to(device())), {});
  const auto row = measure(plan);
  for (const char* column : kColumns) {
    for (const std::byte byte : bits(plan, row, std::string("/links/") + column)) {
      EXPECT_EQ(byte, std::byte{0}) << column;
    }
  }
}

TEST_P(Reduce, EmptyWeightsHaveNoStatistics) {
  for (const auto& shape : std::vector<std::vector<int64_t>>{{0, 5}, {5, 0}, {0}, {4, 3, 0}}) {
    SCOPED_TRACE(described(shape, 0));
    PlanOptions options;
    options.histogram = Histogram::kEveryRow;
    Plan plan(single_weight(torch::empty(shape, torch::kFloat).to(device())), options);
    set_edges(plan, -1, 1);
    const auto row = measure(plan, true);
    EXPECT_EQ(plan.description().weight_layers[0].count, 0);
    for (const char* column : {"mean", "std", "min", "max", "abs_mean", "norm"}) {
      EXPECT_TRUE(std::isnan(values(plan, row, std::string("/links/") + column)[0])) << column;
    }
    EXPECT_EQ(values(plan, row, "/links/nonfinite")[0], 0);
    if (plan.layout().find("/links/000_w/row_sum") != nullptr) {
      EXPECT_EQ(values(plan, row, "/links/000_w/row_sum"), Values(static_cast<size_t>(shape[0]), 0.0));
    }
  }
}

TEST_P(Reduce, SingleEntry) {
  const Plan plan(single_weight(tensor({-2.5}, {1, 1}).to(device())), {});
  const auto row = measure(plan);
  Values statistics;
  for (const char* column : kColumns) {
    statistics.push_back(values(plan, row, std::string("/links/") + column)[0]);
  }
  EXPECT_EQ(statistics, (Values{-2.5, 0, -2.5, -2.5, 2.5, 2.5, 0}));
  EXPECT_EQ(values(plan, row, "/links/000_w/column_sum"), Values{-2.5});
}

// numpy.histogram: bins are [a, b), the last one [a, b].
TEST_P(Reduce, HistogramIsThatOfANaiveCount) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    PlanOptions options;
    options.histogram = Histogram::kEveryRow;
    options.histogram_bins = static_cast<int64_t>(random() % 40 + 1);
    at::Tensor weight = random_tensor({37, 120}, seed, at::kDouble);
    Plan plan(single_weight(weight.to(device())), options);
    set_edges(plan, -1.7, 1.3);
    const Values edges = plan.description().histogram_edges;
    for (size_t i = 0; i < edges.size(); ++i) {  // values on the edges themselves, and right beside them
      weight.view({-1})[static_cast<int64_t>(3 * i)] = edges[i];
      weight.view({-1})[static_cast<int64_t>(3 * i + 1)] = std::nextafter(edges[i], -9);
      weight.view({-1})[static_cast<int64_t>(3 * i + 2)] = std::nextafter(edges[i], 9);
    }
    Plan edged(single_weight(weight.to(device())), options);
    edged.set_histogram_edges(edges);
    Values naive(edges.size() + 1, 0.0);
    const double* data = weight.const_data_ptr<double>();
    for (int64_t i = 0; i < weight.numel(); ++i) {
      size_t slot = 0;
      while (slot < edges.size() && data[i] >= edges[slot]) {
        ++slot;
      }
      naive[data[i] == edges.back() ? edges.size() - 1 : slot] += 1;
    }
    EXPECT_EQ(values(edged, measure(edged, true), "/links/histogram"), naive);
  }
}

TEST_P(Reduce, HistogramFollowsNewEdgesAndIsMinusOneWhereNotAskedFor) {
  PlanOptions options;
  options.histogram = Histogram::kEpochEnds;
  options.histogram_bins = 2;
  Plan plan(single_weight(tensor({-1, 0, 1, 5}, {2, 2}).to(device())), options);
  const auto backend = GetParam().make(plan);
  EXPECT_THROW(backend->measure(0, true), Error);
  const auto histogram = [&](bool wanted) {
    backend->measure(0, wanted);
    backend->wait(0);
    const std::vector<std::byte> row(backend->row(0), backend->row(0) + plan.layout().bytes());
    return values(plan, row, "/links/histogram");
  };
  EXPECT_EQ(histogram(false), (Values{-1, -1, -1, -1}));
  set_edges(plan, -1, 1);
  EXPECT_EQ(histogram(true), (Values{0, 1, 2, 1}));
  set_edges(plan, 0, 10);
  EXPECT_EQ(histogram(true), (Values{1, 2, 1, 0}));
  EXPECT_EQ(histogram(false), (Values{-1, -1, -1, -1}));
}

TEST_P(Reduce, RecordedParametersAreTheValues) {
  PlanOptions options;
  options.record_parameters = true;
  const at::Tensor weight = random_tensor({3, 4, 2}, 9, at::kHalf).transpose(0, 2).to(device());
  const at::Tensor bias = random_tensor({5}, 10, at::kDouble).to(device());
  Network network;
  network.parameters = {{"a.weight", weight}, {"a.bias", bias}};
  const Plan plan(network, options);
  const auto row = measure(plan);
  const at::Tensor expected = weight.to(at::kCPU, at::kDouble).contiguous();
  EXPECT_EQ(values(plan, row, "/parameters/a.weight"),
            Values(expected.const_data_ptr<double>(), expected.const_data_ptr<double>() + expected.numel()));
  EXPECT_EQ(plan.description().parameters[1].float64, true);
}

DYNASCOPE_ON_EVERY_BACKEND(Reduce);

}  // namespace
}  // namespace dynascope::test
