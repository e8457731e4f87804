// SPDX-License-Identifier: BSD-3-Clause
#include "backends.hpp"

#include "host_device_backend.hpp"
#include "require_gpu.hpp"

#include <torch/cuda.h>

namespace dynascope::test {

const std::vector<BackendUnderTest>& backends() {
  static const std::vector<BackendUnderTest> all = {
      {"cpu", at::kCPU, [](const engine::Plan& plan) { return engine::make_backend(plan, 1); }},
      {"host_device", at::kCPU, [](const engine::Plan& plan) { return make_host_device_backend(plan, 1); }},
      {"cuda", at::kCUDA, [](const engine::Plan& plan) { return engine::make_backend(plan, 1); }},
  };
  return all;
}

std::string reason_to_skip(const BackendUnderTest& backend) {
  return backend.device == at::kCUDA && !torch::cuda::is_available() ? "no usable GPU on this machine" : "";
}

void OnBackend::SetUp() { DYNASCOPE_SKIP_UNLESS_EMPTY(reason_to_skip(GetParam())); }

std::vector<std::byte> OnBackend::measure(const engine::Plan& plan, bool histogram) const {
  const std::unique_ptr<engine::Backend> backend = GetParam().make(plan);
  backend->measure(0, histogram);
  backend->wait(0);
  return std::vector<std::byte>(backend->row(0), backend->row(0) + plan.layout().bytes());
}

}  // namespace dynascope::test
