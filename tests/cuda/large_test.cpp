// SPDX-License-Identifier: BSD-3-Clause

// Tensors of more than 2^31 elements: every count, offset and product of them must be 64 bits wide. A GPU with the
// memory measures them whole; the host stand-in the same shapes, a hundredth as long.

#include "support/backends.hpp"

#if defined(DYNASCOPE_HAS_CUDA)
#include <cuda_runtime_api.h>
#endif

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::test {
namespace {

class Large : public OnBackend {
 protected:
  void SetUp() override {
    OnBackend::SetUp();
#if defined(DYNASCOPE_HAS_CUDA)
    if (on_gpu() && !IsSkipped() && !HasFatalFailure()) {
      constexpr size_t kNeeded = size_t{10} << 30;
      size_t unused = 0;
      size_t all = 0;
      ASSERT_EQ(cudaMemGetInfo(&unused, &all), cudaSuccess);
      if (unused < kNeeded) {
        GTEST_SKIP() << "needs 10 GiB of unused GPU memory, has " << (unused >> 20) << " MiB";
      }
    }
#endif
  }

  bool on_gpu() const { return GetParam().device == at::kCUDA; }

  // Filled block by block with a random block of a length that no shape divides: quick, and no two rows are alike.
  static at::Tensor values(int64_t count, at::ScalarType dtype) {
    constexpr int64_t kBlock = 1000003;
    const at::Tensor block = at::randn({kBlock}).to(dtype);
    at::Tensor all = at::empty({count}, block.options());
    for (int64_t first = 0; first < count; first += kBlock) {
      const int64_t some = std::min(kBlock, count - first);
      all.narrow(0, first, some).copy_(block.narrow(0, 0, some));
    }
    return all;
  }

  static Network network_of(const at::Tensor& weight) {
    WeightLayer layer;
    layer.name = "large";
    layer.weight = weight;
    Network network;
    network.weight_layers.push_back(std::move(layer));
    return network;
  }

  void expect_cpu_row(at::Tensor weight) const {
    SCOPED_TRACE(std::string(at::toString(weight.scalar_type())) + ", " + std::to_string(weight.size(0)) + " x " +
                 std::to_string(weight.size(1)));
    const engine::Plan expected(network_of(weight), engine::PlanOptions{});
    const auto cpu = engine::make_backend(expected, 1);
    cpu->measure(0, false);
    const engine::Plan actual(network_of(weight.to(device())), engine::PlanOptions{});
    const std::vector<std::byte> row = measure(actual);
    ASSERT_EQ(static_cast<int64_t>(row.size()), expected.layout().bytes());
    EXPECT_EQ(std::memcmp(cpu->row(0), row.data(), row.size()), 0);
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, Large, ::testing::Values(backends()[1], backends()[2]), backend_name);

constexpr int64_t kTwoTo31 = int64_t{1} << 31;

TEST_P(Large, ManyRowsAndColumns) {
  const int64_t rows = on_gpu() ? 65537 : 6553;
  const int64_t columns = on_gpu() ? 32769 : 327;
  ASSERT_TRUE(!on_gpu() || rows * columns > kTwoTo31);
  expect_cpu_row(values(rows * columns, at::kFloat).view({rows, columns}));
}

TEST_P(Large, FewLongRows) {
  const int64_t rows = on_gpu() ? 1024 : 10;
  const int64_t columns = on_gpu() ? kTwoTo31 / 1024 + 1 : 70001;
  ASSERT_TRUE(!on_gpu() || rows * columns > kTwoTo31);
  expect_cpu_row(values(rows * columns, at::kBFloat16).view({rows, columns}));
}

TEST_P(Large, TransposedView) {
  const int64_t rows = on_gpu() ? 32769 : 327;
  const int64_t columns = on_gpu() ? 65537 : 655;
  ASSERT_TRUE(!on_gpu() || rows * columns > kTwoTo31);
  expect_cpu_row(values(rows * columns, at::kBFloat16).view({columns, rows}).t());
}

}  // namespace
}  // namespace dynascope::test
