// SPDX-License-Identifier: BSD-3-Clause
#include "../../cuda/image.hpp"
#include "hand_tables.hpp"
#include "support/host_device/scheduler.hpp"

#include <algorithm>
#include <vector>

namespace dynascope::test {

std::string reason_to_skip_device() { return ""; }

void set_thread_order(uint64_t seed) { host_device::set_thread_order(seed); }

std::vector<std::byte> device_row(const HandTables& tables, bool histogram, int launches) {
  std::vector<std::byte> row = untouched_row(tables);
  std::vector<double> workspace = untouched_workspace(tables);
  std::vector<engine::Moments> moments(static_cast<size_t>(tables.tables().moment_count));
  const host_device::Image image(tables.tables());
  std::vector<std::byte> device = image.bytes();
  std::copy_n(reinterpret_cast<const std::byte*>(tables.tables().histogram_edges),
              image.edge_count() * static_cast<int64_t>(sizeof(double)), device.data() + image.edges_offset());
  const host_device::Program program = image.at(device.data(), workspace.data(), moments.data());
  for (int i = 0; i < launches; ++i) {
    row = untouched_row(tables);
    host_device::fill_histograms(program, row.data(), histogram, nullptr);
    host_device::launch_snapshot(program, row.data(), histogram, nullptr);
  }
  append_sums(row, workspace, moments);
  return row;
}

}  // namespace dynascope::test
