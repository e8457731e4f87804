// SPDX-License-Identifier: BSD-3-Clause
#include "engine/cpu/passes.hpp"
#include "engine/tree.hpp"
#include "hand_tables.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

namespace dynascope::test {
namespace {

constexpr std::byte kUntouched{0xA5};

}  // namespace

std::vector<std::byte> untouched_row(const HandTables& tables) {
  return std::vector<std::byte>(static_cast<size_t>(tables.row_bytes()), kUntouched);
}

std::vector<double> untouched_workspace(const HandTables& tables) {
  return std::vector<double>(static_cast<size_t>(tables.workspace_doubles()), std::numeric_limits<double>::quiet_NaN());
}

void append_sums(std::vector<std::byte>& row, const std::vector<double>& workspace,
                 const std::vector<engine::Moments>& moments) {
  std::vector<double> sums = workspace;
  for (const engine::Moments& tile : moments) {
    sums.insert(sums.end(), {static_cast<double>(tile.count), static_cast<double>(tile.nonfinite), tile.mean, tile.m2,
                             tile.abs_sum, tile.min, tile.max});
  }
  for (double& sum : sums) {
    sum = engine::canonical(sum);
  }
  const auto* bytes = reinterpret_cast<const std::byte*>(sums.data());
  row.insert(row.end(), bytes, bytes + sums.size() * sizeof(double));
}

std::vector<std::byte> cpu_row(const HandTables& tables, bool histogram) {
  std::vector<std::byte> row = untouched_row(tables);
  std::vector<double> workspace = untouched_workspace(tables);
  std::vector<engine::Moments> moments(static_cast<size_t>(tables.tables().moment_count));
  engine::Tables passes = tables.tables();
  passes.workspace = workspace.data();
  passes.moments = moments.data();
  if (passes.offsets.histogram >= 0) {
    std::fill_n(reinterpret_cast<int64_t*>(row.data() + passes.offsets.histogram),
                passes.link_count * (passes.histogram_bins + 2), histogram ? 0 : -1);
  }
  engine::cpu::reduce(passes, row.data(), histogram);
  engine::cpu::combine(passes, row.data());
  engine::cpu::nodes(passes, row.data());
  engine::cpu::copy_parameters(passes, row.data());
  append_sums(row, workspace, moments);
  return row;
}

std::string first_difference(const std::vector<std::byte>& expected, const std::vector<std::byte>& actual) {
  if (expected.size() != actual.size()) {
    return "rows of " + std::to_string(expected.size()) + " and " + std::to_string(actual.size()) + " bytes";
  }
  const auto found = std::mismatch(expected.begin(), expected.end(), actual.begin());
  if (found.first == expected.end()) {
    return "";
  }
  const auto word = (found.first - expected.begin()) / 8;
  double values[2];
  float narrow[2];
  std::memcpy(&values[0], expected.data() + word * 8, sizeof(double));
  std::memcpy(&values[1], actual.data() + word * 8, sizeof(double));
  std::memcpy(&narrow[0], expected.data() + word * 8, sizeof(float));
  std::memcpy(&narrow[1], actual.data() + word * 8, sizeof(float));
  return "byte " + std::to_string(found.first - expected.begin()) + ": expected " + std::to_string(values[0]) +
         ", got " + std::to_string(values[1]) + " (as float32 " + std::to_string(narrow[0]) + ", " +
         std::to_string(narrow[1]) + ")";
}

}  // namespace dynascope::test
