// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/error.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/trace.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace dynascope {
namespace {

// A convolution behind which a Linear tells positions apart.
torch::nn::Sequential network_module() {
  torch::manual_seed(7);
  return torch::nn::Sequential(torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 3, 3).padding(1)), torch::nn::ReLU(),
                               torch::nn::MaxPool2d(2), torch::nn::Flatten(), torch::nn::Linear(12, 5));
}

class RowsTest : public ::testing::Test {
 protected:
  RowsTest() {
    torch::nn::Sequential module = network_module();
    network_ = trace(module, [&] { return module->forward(torch::rand({1, 2, 4, 4})); });
    for (const NamedParameter& parameter : network_.parameters) {
      std::vector<int64_t> sizes{kReplicas};
      sizes.insert(sizes.end(), parameter.value.sizes().begin(), parameter.value.sizes().end());
      stacked_.push_back({parameter.name, torch::randn(sizes)});
    }
    description_ = describe(network_);
  }

  Network replica(int64_t number) const {
    std::vector<NamedParameter> own;
    for (const NamedParameter& parameter : stacked_) {
      own.push_back({parameter.name, parameter.value[number].clone()});
    }
    return with_parameters(network_, own);
  }

  // So that some entries lie below the bins, and some above.
  void with_histograms() {
    description_.histogram = Histogram::kEveryRow;
    description_.histogram_bins = 4;
    for (size_t layer = 0; layer < description_.weight_layers.size(); ++layer) {
      description_.histogram_edges.insert(description_.histogram_edges.end(), {-1, -0.5, 0, 0.5, 1});
    }
  }

  at::Tensor span(const at::Tensor& rows, int64_t row, const std::string& path) const {
    const RowLayout layout(description_);
    const Span& span = layout.at(path);
    const auto type = span.type == RowType::kFloat32   ? at::kFloat
                      : span.type == RowType::kFloat64 ? at::kDouble
                                                       : at::kLong;
    return rows[row]
        .slice(0, span.offset, span.offset + span.count * size_of(span.type))
        .clone()
        .view(type)
        .view(span.shape);
  }

  static constexpr int64_t kReplicas = 5;
  Network network_;
  std::vector<NamedParameter> stacked_;
  RunDescription description_;
};

TEST_F(RowsTest, RowsOfStackedNetworksAreThoseOfEachAloneBitForBit) {
  with_histograms();
  stacked_[0].value[2][0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor rows = measure_rows(with_parameters(network_, stacked_), description_);
  ASSERT_EQ(rows.sizes().vec(), (std::vector<int64_t>{kReplicas, RowLayout(description_).bytes()}));
  for (int64_t i = 0; i < kReplicas; ++i) {
    EXPECT_TRUE(rows[i].equal(measure_rows(replica(i), description_)[0])) << i;
    EXPECT_EQ(span(rows, i, "/links/nonfinite").sum().item<int64_t>(), i == 2 ? 1 : 0);
  }
}

TEST_F(RowsTest, RowsHoldWhatThePlainFunctionsSay) {
  with_histograms();
  const Network network = with_parameters(network_, stacked_);
  const at::Tensor rows = measure_rows(network, description_);
  const auto strengths = node_strength(network);
  const at::Tensor fluctuation = layer_fluctuation(network);
  const LinkWeights links = link_weights(network);
  for (int64_t i = 0; i < kReplicas; ++i) {
    EXPECT_TRUE(span(rows, i, "/nodes/fluctuation").equal(fluctuation[i]));
    EXPECT_TRUE(span(rows, i, "/links/std").equal(links.std[i]));
    EXPECT_TRUE(span(rows, i, "/links/max").equal(links.max[i]));
    for (size_t layer = 0; layer < strengths.size(); ++layer) {
      const auto& layers = description_.node_layers;
      const std::string path = node_layer_path(layer, layers.size(), layers[layer].name) + "/strength";
      EXPECT_TRUE(span(rows, i, path).equal(strengths[layer][i])) << path;
    }
    const at::Tensor histogram = span(rows, i, "/links/histogram");
    EXPECT_TRUE(histogram.sum(1).equal(links.count));
    const at::Tensor first = at::cat({stacked_[0].value[i].flatten(), stacked_[1].value[i]});
    EXPECT_EQ(histogram[0][0].item<int64_t>(), first.lt(-1).sum().item<int64_t>());
  }
}

TEST_F(RowsTest, DescriptionOfAnotherNetworkIsRefused) {
  description_.node_layers[1].stored_shape[0] += 1;
  try {
    measure_rows(with_parameters(network_, stacked_), description_);
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("the description is of another network"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace dynascope
