// SPDX-License-Identifier: BSD-3-Clause
#include "../../cuda/check.hpp"
#include "../../cuda/image.hpp"
#include "hand_tables.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::test {
namespace {

/// Device memory of exactly the bytes asked for, so that compute-sanitizer sees every one too far.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes) : bytes_(bytes) {
    if (bytes > 0) {
      DYNASCOPE_CUDA_CHECK(cudaMalloc(&data_, bytes));
    }
  }
  DeviceBytes(const void* from, size_t bytes) : DeviceBytes(bytes) {
    if (bytes > 0) {
      DYNASCOPE_CUDA_CHECK(cudaMemcpy(data_, from, bytes, cudaMemcpyHostToDevice));
    }
  }
  ~DeviceBytes() { DYNASCOPE_CUDA_CHECK_TEARDOWN(cudaFree(data_)); }
  DeviceBytes(DeviceBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceBytes& operator=(DeviceBytes&&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  template <typename T>
  void read(std::vector<T>& target) const {
    if (bytes_ > 0) {
      DYNASCOPE_CUDA_CHECK(cudaMemcpy(target.data(), data_, bytes_, cudaMemcpyDeviceToHost));
    }
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Blocks of host memory on the device, and where their addresses went.
class DeviceCopies {
 public:
  explicit DeviceCopies(const std::deque<std::vector<std::byte>>& blocks) : blocks_(blocks) {
    for (const auto& block : blocks) {
      copies_.emplace_back(block.data(), block.size());
    }
  }

  const void* at(const void* host) const {
    const auto* address = static_cast<const std::byte*>(host);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const std::byte* first = blocks_[i].data();
      if (std::less_equal<>()(first, address) && std::less<>()(address, first + blocks_[i].size())) {
        return copies_[i].as<std::byte>() + (address - first);
      }
    }
    return nullptr;  // of an empty matrix
  }

 private:
  const std::deque<std::vector<std::byte>>& blocks_;
  std::vector<DeviceBytes> copies_;
};

}  // namespace

std::string reason_to_skip_device() {
  int count = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  static_cast<void>(cudaGetLastError());
  return found ? "" : "no usable GPU on this machine";
}

void set_thread_order(uint64_t /*seed*/) {}

std::vector<std::byte> device_row(const HandTables& tables, bool histogram, int launches) {
  const DeviceCopies values(tables.memory());
  std::vector<engine::Matrix> matrices(tables.tables().matrices,
                                       tables.tables().matrices + tables.tables().matrix_count);
  std::vector<engine::Copy> copies(tables.tables().copies, tables.tables().copies + tables.tables().copy_count);
  for (engine::Matrix& matrix : matrices) {
    matrix.data = values.at(matrix.data);
  }
  for (engine::Copy& copy : copies) {
    copy.data = values.at(copy.data);
  }
  engine::Tables moved = tables.tables();
  moved.matrices = matrices.data();
  moved.copies = copies.data();

  const cuda::Image image(moved);
  std::vector<std::byte> bytes = image.bytes();
  std::copy_n(reinterpret_cast<const std::byte*>(moved.histogram_edges),
              image.edge_count() * static_cast<int64_t>(sizeof(double)), bytes.data() + image.edges_offset());
  std::vector<double> workspace = untouched_workspace(tables);
  std::vector<engine::Moments> moments(static_cast<size_t>(moved.moment_count));
  std::vector<std::byte> row = untouched_row(tables);
  const DeviceBytes on_device(bytes.data(), bytes.size());
  const DeviceBytes sums(workspace.data(), workspace.size() * sizeof(double));
  const DeviceBytes tiles(moments.data(), moments.size() * sizeof(engine::Moments));
  const cuda::Program program = image.at(on_device.as<std::byte>(), sums.as<double>(), tiles.as<engine::Moments>());
  for (int i = 0; i < launches; ++i) {
    row = untouched_row(tables);
    const DeviceBytes target(row.data(), row.size());
    cuda::fill_histograms(program, target.as<std::byte>(), histogram, nullptr);
    cuda::launch_snapshot(program, target.as<std::byte>(), histogram, nullptr);
    DYNASCOPE_CUDA_CHECK(cudaDeviceSynchronize());
    target.read(row);
  }
  sums.read(workspace);
  tiles.read(moments);
  append_sums(row, workspace, moments);
  return row;
}

}  // namespace dynascope::test
