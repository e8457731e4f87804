// SPDX-License-Identifier: BSD-3-Clause

// One row, measured again and again, with and without its histogram: always the same bits, on an idle device and on one
// that has other work. Fewer times on the host stand-in, where each time is another order of threads.

#include "networks.hpp"
#include "support/backends.hpp"
#include "support/host_device/scheduler.hpp"

#include <ATen/ops/mm.h>
#if defined(DYNASCOPE_HAS_CUDA)
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include <cstring>
#include <functional>
#include <vector>

namespace dynascope::test {
namespace {

using engine::Plan;
using engine::PlanOptions;

PlanOptions everything(int64_t weight_layers, std::vector<double>& edges) {
  PlanOptions options;
  options.components = true;
  options.histogram = Histogram::kEveryRow;
  options.histogram_bins = 33;
  options.record_parameters = true;
  for (int64_t i = 0; i < weight_layers * 34; ++i) {
    edges.push_back(static_cast<double>(i % 34) / 8.0 - 2.0);
  }
  return options;
}

class Repeated : public OnBackend {
 protected:
  bool on_gpu() const { return GetParam().device == at::kCUDA; }

  // A small network with everything in it; on a device with room also a matrix of many blocks, which meet in whatever
  // order they end.
  Network network(at::ScalarType dtype) const {
    Network network = mixed_network(device(), dtype, 11);
    if (on_gpu()) {
      WeightLayer layer;
      layer.name = "large";
      layer.weight = network.weight_layers.back().weight.repeat({30, 30});
      network.weight_layers.push_back(std::move(layer));
    }
    return network;
  }

  // `disturb` is called before each measurement.
  void expect_one_row(at::ScalarType dtype, int64_t times, const std::function<void()>& disturb) const {
    const Network network = this->network(dtype);
    std::vector<double> edges;
    Plan plan(network, everything(static_cast<int64_t>(network.weight_layers.size()), edges));
    plan.set_histogram_edges(edges);
    const auto backend = GetParam().make(plan);
    std::vector<std::byte> first[2];
    for (int64_t i = 0; i < times; ++i) {
      const bool histogram = i % 2 == 1;  // other kernels
      host_device::set_thread_order(static_cast<uint64_t>(i));
      disturb();
      backend->measure(0, histogram);
      backend->wait(0);
      const std::byte* row = backend->row(0);
      std::vector<std::byte>& expected = first[histogram ? 1 : 0];
      if (expected.empty()) {
        expected.assign(row, row + plan.layout().bytes());
      }
      ASSERT_EQ(std::memcmp(row, expected.data(), expected.size()), 0) << "measurement " << i << " of " << times;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, Repeated, ::testing::Values(backends()[1], backends()[2]), backend_name);

TEST_P(Repeated, AThousandMeasurementsGiveOneRow) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    SCOPED_TRACE(at::toString(dtype));
    expect_one_row(dtype, on_gpu() ? 1000 : 6, [] {});
  }
}

#if defined(DYNASCOPE_HAS_CUDA)
class RepeatedOnGpu : public Repeated {};

INSTANTIATE_TEST_SUITE_P(Backends, RepeatedOnGpu, ::testing::Values(backends()[2]), backend_name);

TEST_P(RepeatedOnGpu, AThousandMeasurementsBesideOtherWorkGiveOneRow) {
  const c10::cuda::CUDAStream other = c10::cuda::getStreamFromPool();
  const at::Tensor factor = at::ones({2048, 2048}, at::TensorOptions(device()));
  at::Tensor product = at::empty_like(factor);
  expect_one_row(at::kFloat, 1000, [&] {
    const c10::cuda::CUDAStreamGuard guard(other);
    at::mm_out(product, factor, factor);
  });
  other.synchronize();
}
#endif

}  // namespace
}  // namespace dynascope::test
