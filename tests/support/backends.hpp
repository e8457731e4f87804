// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Test bodies that are written once and run on every backend: derive from OnBackend, end with
// DYNASCOPE_ON_EVERY_BACKEND(Suite).

#include "engine/backend.hpp"
#include "engine/plan.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dynascope::test {

struct BackendUnderTest {
  std::string name;
  at::DeviceType device;  ///< where parameters must live
  std::function<std::unique_ptr<engine::Backend>(const engine::Plan& plan)> make;
};

/// The cpu; the kernels' own sources on the host stand-in; cuda.
const std::vector<BackendUnderTest>& backends();

/// Empty where `backend` can run here, otherwise why it cannot.
std::string reason_to_skip(const BackendUnderTest& backend);

/// Skips with a reason where the backend cannot run; with REQUIRE_GPU=1 in the environment that is a failure.
class OnBackend : public ::testing::TestWithParam<BackendUnderTest> {
 protected:
  void SetUp() override;

  at::Device device() const { return at::Device(GetParam().device); }

  /// One row, in host memory.
  std::vector<std::byte> measure(const engine::Plan& plan, bool histogram = false) const;
};

inline std::string backend_name(const ::testing::TestParamInfo<BackendUnderTest>& info) { return info.param.name; }

}  // namespace dynascope::test

#define DYNASCOPE_ON_EVERY_BACKEND(Suite)                                                       \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::ValuesIn(::dynascope::test::backends()), \
                           ::dynascope::test::backend_name)
