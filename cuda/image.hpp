// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A plan's tables and the work lists of the launches as one block of bytes: one allocation and one copy bring them to a
// device. Offsets instead of pointers until `at` is told where the block lies.

#include "launch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynascope::DYNASCOPE_DEVICE {

class Image {
 public:
  /// @param tables  in host memory; matrices and copies point to device memory
  explicit Image(const engine::Tables& tables);

  /// What to copy to the device, to an address aligned to 16.
  const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

  /// Where the histogram's edges go, (weight layers, bins + 1) doubles: bytes from the start of the block.
  int64_t edges_offset() const noexcept { return edges_; }
  int64_t edge_count() const noexcept { return edge_count_; }

  /// The program, for a copy of bytes() at `base`.
  /// @param workspace  device memory, Plan::workspace_doubles() doubles
  /// @param moments    device memory, Tables::moment_count
  Program at(std::byte* base, double* workspace, engine::Moments* moments) const;

 private:
  template <typename T>
  int64_t append(const T* values, int64_t count);

  std::vector<std::byte> bytes_;
  engine::Tables tables_;
  int64_t matrices_, tiles_, links_, nodes_, terms_, coefficients_, indices_, copies_, edges_;
  int64_t edge_count_;
  int64_t combine_work_, node_work_, tickets_;
  int64_t combine_blocks_, node_blocks_;
};

}  // namespace dynascope::DYNASCOPE_DEVICE
