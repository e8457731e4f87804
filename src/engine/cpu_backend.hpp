// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "backend.hpp"

#include <memory>
#include <vector>

namespace dynascope::engine {

/// Measures in the calling thread and the threads of LibTorch; a row is complete on return.
class CpuBackend final : public Backend {
 public:
  CpuBackend(const Plan& plan, int64_t slots);

  void measure(int64_t slot, bool histogram) override;
  bool ready(int64_t slot) override;
  void wait(int64_t slot) override;
  const std::byte* row(int64_t slot) const override;
  at::Tensor measure_to_tensor(bool histogram) override;
  const char* name() const noexcept override { return "cpu"; }

 private:
  void run(std::byte* row, bool histogram);

  const Plan& plan_;
  std::vector<double> workspace_;
  std::vector<Moments> moments_;
  std::vector<std::vector<double>> rows_;
};

/// @param slots  row blocks, at least 0
std::unique_ptr<Backend> make_cpu_backend(const Plan& plan, int64_t slots);

}  // namespace dynascope::engine
