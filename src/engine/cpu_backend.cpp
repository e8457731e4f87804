// SPDX-License-Identifier: BSD-3-Clause
#include "cpu_backend.hpp"

#include "cpu/passes.hpp"

#include <dynascope/error.hpp>

#include <ATen/ops/empty.h>

#include <algorithm>

namespace dynascope::engine {

CpuBackend::CpuBackend(const Plan& plan, int64_t slots)
    : plan_(plan),
      workspace_(static_cast<size_t>(plan.workspace_doubles())),
      moments_(static_cast<size_t>(plan.tables().moment_count)),
      rows_(static_cast<size_t>(slots), std::vector<double>(static_cast<size_t>(plan.layout().bytes() / 8))) {}

void CpuBackend::run(std::byte* row, bool histogram) {
  Tables tables = plan_.tables();
  tables.workspace = workspace_.data();
  tables.moments = moments_.data();
  const bool wanted = histogram && tables.offsets.histogram >= 0;
  if (wanted && tables.histogram_edges == nullptr && tables.link_count > 0) {
    throw Error("a histogram needs its edges: call Plan::set_histogram_edges first");
  }
  if (tables.offsets.histogram >= 0) {
    std::fill_n(reinterpret_cast<int64_t*>(row + tables.offsets.histogram),
                tables.link_count * (tables.histogram_bins + 2), wanted ? 0 : -1);
  }
  cpu::reduce(tables, row, wanted);
  cpu::combine(tables, row);
  cpu::nodes(tables, row);
  cpu::copy_parameters(tables, row);
}

void CpuBackend::measure(int64_t slot, bool histogram) {
  run(reinterpret_cast<std::byte*>(rows_.at(static_cast<size_t>(slot)).data()), histogram);
}

bool CpuBackend::ready(int64_t /*slot*/) { return true; }

void CpuBackend::wait(int64_t /*slot*/) {}

const std::byte* CpuBackend::row(int64_t slot) const {
  return reinterpret_cast<const std::byte*>(rows_.at(static_cast<size_t>(slot)).data());
}

at::Tensor CpuBackend::measure_to_tensor(bool histogram) {
  at::Tensor row = at::empty({plan_.layout().bytes()}, at::TensorOptions().dtype(at::kByte));
  std::byte* bytes = static_cast<std::byte*>(row.mutable_data_ptr());
  std::fill_n(bytes, plan_.layout().bytes(), std::byte{0});  // gaps between spans
  run(bytes, histogram);
  return row;
}

std::unique_ptr<Backend> make_cpu_backend(const Plan& plan, int64_t slots) {
  return std::make_unique<CpuBackend>(plan, slots);
}

}  // namespace dynascope::engine
