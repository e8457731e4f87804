// SPDX-License-Identifier: BSD-3-Clause

// Node strengths of random layers against a count over every single link: for each output coordinate and tap, one link
// from an input coordinate, if that exists.

#include "hand_network.hpp"
#include "support/backends.hpp"

#include <dynascope/error.hpp>

#include <cmath>
#include <random>

namespace dynascope::test {
namespace {

using engine::Plan;
using engine::PlanOptions;
using Values = std::vector<double>;

class Nodes : public OnBackend {};

struct Case {
  int64_t groups, in, out;  // channels of a group
  bool transposed, with_bias, resampled;
  ConvolutionAxis axes[2];
  Resampling resampling[2];
  int64_t seen[2];
  MetricOptions metrics;
  at::Tensor weight, bias;
  int64_t inputs() const { return groups * in; }
  int64_t outputs() const { return groups * out; }
};

Case random_case(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  };
  std::normal_distribution<double> normal;
  Case c{};
  c.groups = pick(1, 3);
  c.in = pick(1, 3);
  c.out = pick(1, 3);
  c.transposed = pick(0, 3) == 0;
  c.with_bias = pick(0, 1) == 1;
  c.resampled = pick(0, 1) == 1;
  for (int d = 0; d < 2; ++d) {
    ConvolutionAxis& axis = c.axes[d];
    do {
      axis = {pick(1, 9), 0, pick(1, 4), pick(1, 3), pick(0, 3), pick(1, 2)};
      const int64_t reach = axis.dilation * (axis.kernel - 1) + 1;
      axis.output = c.transposed ? (axis.input - 1) * axis.stride - 2 * axis.padding + reach
                                 : (axis.input + 2 * axis.padding - reach) / axis.stride + 1;
      if (!c.transposed && axis.input + 2 * axis.padding < reach) {
        axis.output = 0;
      }
    } while (axis.output < 1);
    c.seen[d] = axis.output;
    if (c.resampled) {
      c.seen[d] = pick(1, 4);
      c.resampling[d] = {axis.output, c.seen[d], {}};
      for (int64_t i = 0; i < axis.output * c.seen[d]; ++i) {
        c.resampling[d].coefficients.push_back(pick(0, 2) == 0 ? 0.0 : static_cast<double>(pick(1, 4)) / 4);
      }
    }
  }
  c.metrics.padding(pick(0, 1) == 1 ? Padding::kTrueEdges : Padding::kAllTaps)
      .boundary(pick(0, 1) == 1 ? Boundary::kOne : Boundary::kZero)
      .bias(pick(0, 3) > 0 ? Bias::kIn : Bias::kNone);
  const std::vector<int64_t> shape = {c.transposed ? c.inputs() : c.outputs(), c.transposed ? c.out : c.in,
                                      c.axes[0].kernel, c.axes[1].kernel};
  c.weight = torch::empty(shape, torch::kDouble);
  for (int64_t i = 0; i < c.weight.numel(); ++i) {
    c.weight.mutable_data_ptr<double>()[i] = normal(random);
  }
  if (pick(0, 2) == 0) {
    const double bad[] = {std::nan(""), INFINITY, -INFINITY};
    c.weight.mutable_data_ptr<double>()[pick(0, c.weight.numel() - 1)] = bad[pick(0, 2)];
  }
  if (c.with_bias) {
    c.bias = torch::arange(c.outputs(), torch::kDouble) + 0.25;
  }
  return c;
}

/// input (C, H, W) -> convolution -> [resampling ->] hidden (C', Y, X) -> Linear on the flattened units -> output (2,)
Network network_of(const Case& c, const at::Tensor& head, at::Device device) {
  Network network;
  const int32_t input = add_node(network, "input", {c.inputs(), c.axes[0].input, c.axes[1].input}, Role::kInput);
  const int32_t hidden = add_node(network, "conv", {c.outputs(), c.seen[0], c.seen[1]});
  const int32_t output = add_node(network, "output", {2}, Role::kOutput);
  WeightLayer& layer = add_link(network, "conv.weight", c.weight.to(device),
                                c.bias.defined() ? c.bias.to(device) : at::Tensor(), input, hidden);
  layer.groups = c.groups;
  layer.transposed = c.transposed;
  layer.axes = {c.axes[0], c.axes[1]};
  if (c.resampled) {
    layer.targets[0].resampling = {c.resampling[0], c.resampling[1]};
  }
  add_link(network, "fc.weight", head.to(device), {}, hidden, output).sources[0].per_unit = true;
  return network;
}

/// Calls link(channel_in, y, x, channel_out, Y, X, weight * coefficient) for every link; on_padding where only all taps
/// count it (the input coordinate does not exist).
template <typename Link>
void for_each_link(const Case& c, const Link& link) {
  const auto w = c.weight.accessor<double, 4>();
  const auto coordinates = [&](int d, int64_t o, int64_t k) {
    const ConvolutionAxis& a = c.axes[d];
    if (!c.transposed) {
      return o * a.stride - a.padding + a.dilation * k;
    }
    for (int64_t i = 0; i < a.input; ++i) {
      if (i * a.stride - a.padding + a.dilation * k == o) {
        return i;
      }
    }
    return int64_t{-1000};
  };
  for (int64_t o0 = 0; o0 < c.axes[0].output; ++o0) {
    for (int64_t o1 = 0; o1 < c.axes[1].output; ++o1) {
      for (int64_t k0 = 0; k0 < c.axes[0].kernel; ++k0) {
        for (int64_t k1 = 0; k1 < c.axes[1].kernel; ++k1) {
          const int64_t i0 = coordinates(0, o0, k0);
          const int64_t i1 = coordinates(1, o1, k1);
          for (int64_t co = 0; co < c.outputs(); ++co) {
            for (int64_t ci = co / c.out * c.in; ci < (co / c.out + 1) * c.in; ++ci) {
              link(ci, i0, i1, co, o0, o1, c.transposed ? w[ci][co % c.out][k0][k1] : w[co][ci % c.in][k0][k1]);
            }
          }
        }
      }
    }
  }
}

struct Expected {
  Values input, hidden;
};

Expected count_links(const Case& c, const Values& head_sums) {
  const ConvolutionAxis* a = c.axes;
  const bool one = c.metrics.boundary() == Boundary::kOne;
  Expected e{Values(static_cast<size_t>(c.inputs() * a[0].input * a[1].input), one ? 1.0 : 0.0), head_sums};
  const auto resampled = [&](int d, int64_t seen, int64_t o) {
    return c.resampled ? c.resampling[d].coefficients[static_cast<size_t>(seen * a[d].output + o)]
                       : (seen == o ? 1.0 : 0.0);
  };
  const auto unit = [&](int64_t channel, int64_t y, int64_t x) {
    return static_cast<size_t>((channel * c.seen[0] + y) * c.seen[1] + x);
  };
  for_each_link(c, [&](int64_t ci, int64_t i0, int64_t i1, int64_t co, int64_t o0, int64_t o1, double weight) {
    const bool exists = i0 >= 0 && i0 < a[0].input && i1 >= 0 && i1 < a[1].input;
    const bool counts = exists || (!c.transposed && c.metrics.padding() == Padding::kAllTaps);
    for (int64_t y = 0; y < c.seen[0]; ++y) {
      for (int64_t x = 0; x < c.seen[1]; ++x) {
        const double coefficient = resampled(0, y, o0) * resampled(1, x, o1);
        if (coefficient == 0.0) {
          continue;
        }
        if (counts) {
          e.hidden[unit(co, y, x)] += coefficient * weight;
        }
        if (exists) {
          e.input[static_cast<size_t>((ci * a[0].input + i0) * a[1].input + i1)] += coefficient * weight;
        }
      }
    }
  });
  if (c.with_bias && c.metrics.bias() == Bias::kIn) {
    for (int64_t co = 0; co < c.outputs(); ++co) {
      for (int64_t y = 0; y < c.seen[0]; ++y) {
        for (int64_t x = 0; x < c.seen[1]; ++x) {
          double sum = 0;
          for (int64_t o0 = 0; o0 < a[0].output; ++o0) {
            for (int64_t o1 = 0; o1 < a[1].output; ++o1) {
              sum += resampled(0, y, o0) * resampled(1, x, o1);
            }
          }
          e.hidden[unit(co, y, x)] += sum * c.bias.const_data_ptr<double>()[co];
        }
      }
    }
  }
  return e;
}

void expect_strengths(const Values& actual, const Values& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(expected[i])) {
      ASSERT_FALSE(std::isfinite(actual[i])) << "unit " << i << " must not be finite";
    } else {
      ASSERT_NEAR(actual[i], expected[i], 1e-5 + 1e-6 * std::fabs(expected[i])) << "unit " << i;
    }
  }
}

/// Summaries of a layer are those of its expanded map.
void expect_summary(const Plan& plan, const std::vector<std::byte>& row, size_t layer) {
  const Values map = unit_map(plan, row, layer);
  double sum = 0, low = INFINITY, high = -INFINITY, nonfinite = 0;
  for (const double value : map) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    } else {
      ++nonfinite;
    }
    sum += value;
  }
  const double mean = sum / static_cast<double>(map.size());
  double squares = 0;
  for (const double value : map) {
    squares += (value - mean) * (value - mean);
  }
  EXPECT_EQ(values(plan, row, "/nodes/nonfinite")[layer], nonfinite);
  if (nonfinite > 0) {
    EXPECT_TRUE(std::isnan(values(plan, row, "/nodes/fluctuation")[layer]));
    EXPECT_TRUE(std::isnan(values(plan, row, "/nodes/strength_mean")[layer]));
  } else {
    EXPECT_NEAR(values(plan, row, "/nodes/fluctuation")[layer], std::sqrt(squares / static_cast<double>(map.size())),
                1e-5 * (1 + std::fabs(high) + std::fabs(low)));
    EXPECT_NEAR(values(plan, row, "/nodes/strength_mean")[layer], mean, 1e-5 * (1 + std::fabs(high) + std::fabs(low)));
  }
  if (nonfinite < static_cast<double>(map.size())) {
    EXPECT_NEAR(values(plan, row, "/nodes/strength_min")[layer], low, 1e-6 * (1 + std::fabs(low)));
    EXPECT_NEAR(values(plan, row, "/nodes/strength_max")[layer], high, 1e-6 * (1 + std::fabs(high)));
  } else {
    EXPECT_TRUE(std::isnan(values(plan, row, "/nodes/strength_min")[layer]));
  }
}

TEST_P(Nodes, RandomConvolutionsCountEveryLinkOnce) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Case c = random_case(seed);
    const int64_t units = c.outputs() * c.seen[0] * c.seen[1];
    const at::Tensor head = torch::arange(2 * units, torch::kDouble).view({2, units}).sin();
    const at::Tensor head_sums = head.sum(0).contiguous();
    PlanOptions options;
    options.metrics = c.metrics;
    const Plan plan(network_of(c, head, device()), options);
    const auto row = measure(plan);
    const Expected expected = count_links(
        c, Values(head_sums.const_data_ptr<double>(), head_sums.const_data_ptr<double>() + head_sums.numel()));
    expect_strengths(unit_map(plan, row, 0), expected.input);
    expect_strengths(unit_map(plan, row, 1), expected.hidden);
    expect_summary(plan, row, 0);
    expect_summary(plan, row, 1);
    if (HasFailure()) {
      return;
    }
  }
}

TEST_P(Nodes, ByChannelEveryWeightCountsOnce) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Case c = random_case(seed);
    c.weight.nan_to_num_(0.5, 1.5, -1.5);
    const int64_t positions = c.seen[0] * c.seen[1];
    const at::Tensor head = torch::arange(2 * c.outputs() * positions, torch::kDouble).view({2, -1}).sin();
    PlanOptions options;
    options.metrics.granularity(Granularity::kChannel).boundary(Boundary::kZero);
    const Plan plan(network_of(c, head, device()), options);
    const auto row = measure(plan);
    // (outputs, inputs of a group) or, transposed, (inputs, outputs of a group), kernel summed.
    const at::Tensor flat = c.weight.sum(at::IntArrayRef({2, 3}));
    const at::Tensor by_group = flat.view({c.groups, flat.size(0) / c.groups, flat.size(1)}).sum(1).flatten();
    const at::Tensor of_rows = flat.sum(1);
    at::Tensor in =
        (c.transposed ? by_group : of_rows) + head.view({2, c.outputs(), positions}).sum(at::IntArrayRef({0, 2}));
    if (c.with_bias) {
      in = in + c.bias;
    }
    const at::Tensor out = (c.transposed ? of_rows : by_group).contiguous();
    in = in.contiguous();
    expect_strengths(unit_map(plan, row, 0),
                     Values(out.const_data_ptr<double>(), out.const_data_ptr<double>() + out.numel()));
    expect_strengths(unit_map(plan, row, 1),
                     Values(in.const_data_ptr<double>(), in.const_data_ptr<double>() + in.numel()));
  }
}

TEST_P(Nodes, ExactlyTheNodesWhoseLinksHoldANonFiniteWeightAreNonFinite) {
  at::Tensor first = torch::ones({4, 3}, torch::kFloat);
  first[2][1] = NAN;
  at::Tensor second = torch::ones({2, 4}, torch::kFloat);
  second[1][0] = INFINITY;
  PlanOptions options;
  const Plan plan(chain({{first.to(device()), {}}, {second.to(device()), {}}}), options);
  const auto row = measure(plan);
  const auto finite = [&](size_t layer) {
    std::vector<bool> result;
    for (const double value : unit_map(plan, row, layer)) {
      result.push_back(std::isfinite(value));
    }
    return result;
  };
  EXPECT_EQ(finite(0), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(finite(1), (std::vector<bool>{false, true, false, true}));
  EXPECT_EQ(finite(2), (std::vector<bool>{true, false}));
  EXPECT_EQ(values(plan, row, "/nodes/nonfinite"), (Values{1, 2, 1}));
  EXPECT_EQ(values(plan, row, "/nodes/strength_min"), (Values{5, 5, 5}));
}

// Opposite infinities in one sum are NaN, not 0.
TEST_P(Nodes, OppositeInfinitiesDoNotCancel) {
  const Plan plan(chain({{tensor({INFINITY, -INFINITY}, {1, 2}, at::kFloat).to(device()), {}}}), {});
  const auto row = measure(plan);
  EXPECT_TRUE(std::isnan(unit_map(plan, row, 1)[0]));
  EXPECT_EQ(values(plan, row, "/nodes/nonfinite"), (Values{2, 1}));
}

// A NaN in a tap that lies on padding everywhere is no link of any node.
TEST_P(Nodes, TapsOnPaddingAreNoLinks) {
  Network network;
  const int32_t input = add_node(network, "input", {1, 1}, Role::kInput);
  const int32_t output = add_node(network, "output", {1, 1}, Role::kOutput);
  add_link(network, "conv.weight", tensor({NAN, 2, INFINITY}, {1, 1, 3}, at::kFloat).to(device()), {}, input, output)
      .axes = {{1, 1, 3, 1, 1, 1}};
  const Plan plan(network, {});
  const auto row = measure(plan);
  EXPECT_EQ(unit_map(plan, row, 0), Values{3});
  EXPECT_EQ(unit_map(plan, row, 1), Values{3});
  EXPECT_EQ(values(plan, row, "/links/nonfinite"), Values{2});
}

// Gates are blocks of rows: hidden unit k adds rows k, k + 2, k + 4 of both weights, and reads itself back.
//   ih (6, 1) = 1 .. 6; hh (6, 2): column sums 6, 60, row sums 11 each; b (6,) = 0.5
// in(k) = (1 + k) + (3 + k) + (5 + k) + 3 * 11 + 3 * 0.5 = 43.5 + 3k
TEST_P(Nodes, GatesAreBlocksOfRows) {
  Network network;
  const int32_t input = add_node(network, "input", {1}, Role::kInput);
  const int32_t hidden = add_node(network, "gru.l0", {2}, Role::kOutput);
  Values hh;
  for (int i = 0; i < 6; ++i) {
    hh.insert(hh.end(), {1, 10});
  }
  const auto gates = [](WeightLayer& layer) {
    layer.targets[0].blocks = 3;
    layer.targets[0].block_stride = 2;
  };
  gates(add_link(network, "gru.weight_ih_l0", tensor({1, 2, 3, 4, 5, 6}, {6, 1}).to(device()),
                 torch::full({6}, 0.5, torch::kDouble).to(device()), input, hidden));
  gates(add_link(network, "gru.weight_hh_l0", tensor(hh, {6, 2}).to(device()), {}, hidden, hidden));
  PlanOptions options;
  options.components = true;
  const Plan plan(network, options);
  const auto row = measure(plan);
  EXPECT_EQ(unit_map(plan, row, 1, "in_strength"), (Values{43.5, 46.5}));
  EXPECT_EQ(unit_map(plan, row, 1, "out_strength"), (Values{7, 61}));
  EXPECT_EQ(unit_map(plan, row, 0, "out_strength"), (Values{21}));
}

// A layer that writes two node layers has all its links twice: once to each.
TEST_P(Nodes, TwoResamplingsOfOneOutputAreTwoSetsOfLinks) {
  Network network;
  const int32_t input = add_node(network, "input", {1, 4, 4}, Role::kInput);
  const int32_t plain = add_node(network, "conv", {1, 4, 4}, Role::kOutput);
  const int32_t pooled = add_node(network, "conv@1x1", {1, 1, 1}, Role::kOutput);
  WeightLayer& layer = add_link(network, "conv.weight", tensor({2}, {1, 1, 1, 1}).to(device()), {}, input, plain);
  layer.axes = {{4, 4, 1, 1, 0, 1}, {4, 4, 1, 1, 0, 1}};
  LinkEnd end;
  end.node_layer = pooled;
  end.resampling = {{4, 1, Values(4, 0.25)}, {4, 1, Values(4, 0.25)}};
  layer.targets.push_back(end);
  const Plan plan(network, {});
  const auto row = measure(plan);
  EXPECT_EQ(unit_map(plan, row, 0), Values(16, 1 + 2 + 2.0 / 16));
  EXPECT_EQ(unit_map(plan, row, 2), Values{3});
}

TEST_P(Nodes, ExplicitOrderPermutesAndLeavesOut) {
  Network network = chain({{tensor({1, 2, 4}, {1, 3}).to(device()), {}}});
  network.node_layers[0].shape = {4};
  network.weight_layers[0].sources[0].order = {2, -1, 0, 1};
  const Plan plan(network, {});
  EXPECT_EQ(unit_map(plan, measure(plan), 0), (Values{5, 1, 2, 3}));
}

TEST_P(Nodes, LayersWithoutUnitsHaveNoSummary) {
  const Plan plan(chain({{torch::empty({0, 3}, torch::kFloat).to(device()), {}},
                         {torch::empty({2, 0}, torch::kFloat).to(device()), {}}}),
                  {});
  const auto row = measure(plan);
  EXPECT_EQ(unit_map(plan, row, 0), (Values{1, 1, 1}));
  EXPECT_TRUE(std::isnan(values(plan, row, "/nodes/fluctuation")[1]));
  EXPECT_EQ(values(plan, row, "/nodes/nonfinite"), (Values{0, 0, 0}));
  EXPECT_EQ(unit_map(plan, row, 2), (Values{1, 1}));
}

TEST_P(Nodes, EqualStrengthsDoNotFluctuate) {
  const Plan plan(chain({{torch::full({1000, 7}, 0.1, torch::kFloat).to(device()), {}}}), {});
  EXPECT_EQ(values(plan, measure(plan), "/nodes/fluctuation"), (Values{0, 0}));
}

DYNASCOPE_ON_EVERY_BACKEND(Nodes);

}  // namespace
}  // namespace dynascope::test
