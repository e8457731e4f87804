// SPDX-License-Identifier: BSD-3-Clause
#include "host_device_backend.hpp"

#include "../../cuda/image.hpp"

#include <dynascope/error.hpp>

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace dynascope::test {
namespace {

class HostDeviceBackend final : public engine::Backend {
 public:
  HostDeviceBackend(const engine::Plan& plan, int64_t slots)
      : plan_(plan), rows_(static_cast<size_t>(slots), std::vector<double>(static_cast<size_t>(row_doubles()))) {}

  void measure(int64_t slot, bool histogram) override {
    run(reinterpret_cast<std::byte*>(rows_.at(static_cast<size_t>(slot)).data()), histogram);
  }
  bool ready(int64_t /*slot*/) override { return true; }
  void wait(int64_t /*slot*/) override {}
  const std::byte* row(int64_t slot) const override {
    return reinterpret_cast<const std::byte*>(rows_.at(static_cast<size_t>(slot)).data());
  }
  at::Tensor measure_to_tensor(bool histogram) override {
    at::Tensor row = at::zeros({plan_.layout().bytes()}, at::TensorOptions().dtype(at::kByte));
    run(static_cast<std::byte*>(row.mutable_data_ptr()), histogram);
    return row;
  }
  const char* name() const noexcept override { return "host_device"; }

 private:
  int64_t row_doubles() const { return plan_.layout().bytes() / 8; }

  void run(std::byte* row, bool histogram) const {
    const engine::Tables& tables = plan_.tables();
    const host_device::Image image(tables);
    std::vector<std::byte> device = image.bytes();
    if (histogram && image.edge_count() > 0) {
      if (tables.histogram_edges == nullptr) {
        throw Error("a histogram needs its edges: call Plan::set_histogram_edges first");
      }
      std::copy_n(reinterpret_cast<const std::byte*>(tables.histogram_edges),
                  image.edge_count() * static_cast<int64_t>(sizeof(double)), device.data() + image.edges_offset());
    }
    // Not zeros: a sum that is read before it is written shows.
    std::vector<double> workspace(static_cast<size_t>(plan_.workspace_doubles()),
                                  std::numeric_limits<double>::quiet_NaN());
    std::vector<engine::Moments> moments(static_cast<size_t>(tables.moment_count));
    const host_device::Program program = image.at(device.data(), workspace.data(), moments.data());
    host_device::fill_histograms(program, row, histogram, nullptr);
    host_device::launch_snapshot(program, row, histogram, nullptr);
  }

  const engine::Plan& plan_;
  std::vector<std::vector<double>> rows_;
};

}  // namespace

std::unique_ptr<engine::Backend> make_host_device_backend(const engine::Plan& plan, int64_t slots) {
  return std::make_unique<HostDeviceBackend>(plan, slots);
}

}  // namespace dynascope::test
