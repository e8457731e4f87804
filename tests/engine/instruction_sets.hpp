// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "engine/cpu/kernels.hpp"

#include <gtest/gtest.h>

#include <string>

namespace dynascope::test {

/// Runs the cpu's kernels of each instruction set that this machine has.
class OnInstructionSet : public ::testing::TestWithParam<engine::cpu::InstructionSet> {
 protected:
  void SetUp() override {
    if (GetParam() > engine::cpu::best_instruction_set()) {
      GTEST_SKIP() << "this processor lacks the instructions";
    }
    engine::cpu::use(GetParam());
  }
  void TearDown() override { engine::cpu::use(engine::cpu::best_instruction_set()); }
};

inline auto instruction_sets() {
  using engine::cpu::InstructionSet;
  return ::testing::Values(InstructionSet::kBaseline, InstructionSet::kX86_64_v3, InstructionSet::kX86_64_v4);
}

inline std::string instruction_set_name(const ::testing::TestParamInfo<engine::cpu::InstructionSet>& set) {
  const char* names[] = {"Baseline", "X86_64_v3", "X86_64_v4"};
  return names[static_cast<size_t>(set.param)];
}

}  // namespace dynascope::test
