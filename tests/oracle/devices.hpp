// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "support/require_gpu.hpp"

#include <c10/core/Device.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <string>

namespace oracle {

/// A test body for every backend: on the CPU always, on CUDA where there is a GPU. Without one the CUDA half is skipped
/// and says so; REQUIRE_GPU=1 in the environment makes that a failure.
class OnDevice : public ::testing::TestWithParam<c10::DeviceType> {
 protected:
  void SetUp() override {
    const bool missing = GetParam() == c10::kCUDA && !torch::cuda::is_available();
    DYNASCOPE_SKIP_UNLESS_EMPTY(missing ? "no usable GPU on this machine" : "");
  }
  c10::Device device() const { return c10::Device(GetParam()); }
};

inline std::string device_name(const ::testing::TestParamInfo<c10::DeviceType>& info) {
  return info.param == c10::kCUDA ? "cuda" : "cpu";
}

}  // namespace oracle

#define ORACLE_ON_EVERY_DEVICE(Suite) \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::Values(c10::kCPU, c10::kCUDA), ::oracle::device_name)
