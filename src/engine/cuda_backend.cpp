// SPDX-License-Identifier: BSD-3-Clause
#include "cuda_backend.hpp"

#include "../../cuda/check.hpp"
#include "../../cuda/image.hpp"

#include <dynascope/error.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::engine {
namespace {

class Event {
 public:
  explicit Event(unsigned flags = cudaEventDisableTiming) {
    DYNASCOPE_CUDA_CHECK(cudaEventCreateWithFlags(&event_, flags));
  }
  ~Event() {
    if (event_ != nullptr) {
      DYNASCOPE_CUDA_CHECK_TEARDOWN(cudaEventDestroy(event_));
    }
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;

  void record(cudaStream_t stream) { DYNASCOPE_CUDA_CHECK(cudaEventRecord(event_, stream)); }
  void hold(cudaStream_t stream) const { DYNASCOPE_CUDA_CHECK(cudaStreamWaitEvent(stream, event_, 0)); }
  cudaEvent_t get() const noexcept { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

at::TensorOptions bytes_on(const at::Device& device) { return at::TensorOptions(at::kByte).device(device); }

std::byte* bytes_of(const at::Tensor& tensor) { return static_cast<std::byte*>(tensor.mutable_data_ptr()); }

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  DYNASCOPE_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(const Plan& plan, int64_t slots, bool timed)
      : plan_(plan),
        device_(plan.device()),
        row_bytes_(plan.layout().bytes()),
        guard_(device_),
        copy_stream_(c10::cuda::getStreamFromPool(false, device_.index())),
        image_(plan.tables()) {
    const auto doubles = at::TensorOptions(at::kDouble).device(device_);
    const int64_t moments = plan.tables().moment_count * static_cast<int64_t>(sizeof(Moments) / sizeof(double));
    tables_ = at::empty({static_cast<int64_t>(image_.bytes().size())}, bytes_on(device_));
    workspace_ = at::empty({plan.workspace_doubles()}, doubles);
    moments_ = at::empty({moments}, doubles);
    // Zeros: the gaps between the spans of a row are never written.
    host_rows_ = at::zeros({slots, row_bytes_}, bytes_on(at::kCPU).pinned_memory(true));
    for (at::Tensor& row : device_rows_) {
      row = at::zeros({slots > 0 ? row_bytes_ : 0}, bytes_on(device_));
    }
    for (int64_t slot = 0; slot < slots; ++slot) {
      copied_.emplace_back(cudaEventDisableTiming | cudaEventBlockingSync);
      if (timed) {
        begun_.emplace_back(cudaEventDefault);
        ended_.emplace_back(cudaEventDefault);
      }
    }
    program_ = image_.at(bytes_of(tables_), workspace_.mutable_data_ptr<double>(),
                         static_cast<Moments*>(moments_.mutable_data_ptr()));
    stream_ = c10::cuda::getCurrentCUDAStream(device_.index());
    upload(0, image_.bytes().data(), static_cast<int64_t>(image_.bytes().size()));
    for (const at::Tensor& row : device_rows_) {
      if (row.numel() > 0) {
        cuda::fill_histograms(program_, bytes_of(row), false, stream_);
      }
    }
    measured_.record(stream_);
    guard_.reset();
  }

  ~CudaBackend() override {
    // Copies into the host block must have ended before it goes. Device memory may go at once: the allocator hands it
    // out again in the order of the streams.
    for (const int64_t slot : last_slot_) {
      if (slot >= 0) {
        DYNASCOPE_CUDA_CHECK_TEARDOWN(cudaEventSynchronize(copied_[static_cast<size_t>(slot)].get()));
      }
    }
  }
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  void measure(int64_t slot, bool histogram) override {
    const c10::cuda::CUDAGuard guard(device_);
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream(device_.index());
    if (is_capturing(stream)) {
      throw Error(
          "a snapshot cannot be taken while the current stream is captured into a CUDA graph: end the capture "
          "before the callback runs");
    }
    prepare(stream, histogram);
    const size_t turn = std::exchange(turn_, 1 - turn_);
    if (last_slot_[turn] >= 0) {
      copied_[static_cast<size_t>(last_slot_[turn])].hold(stream);
    }
    std::byte* row = bytes_of(device_rows_[turn]);
    const auto place = static_cast<size_t>(slot);
    if (!begun_.empty()) {
      begun_[place].record(stream);
    }
    if (histogram || counted_[turn]) {
      cuda::fill_histograms(program_, row, histogram, stream);
      counted_[turn] = histogram;
    }
    cuda::launch_snapshot(program_, row, histogram, stream);
    if (!ended_.empty()) {
      ended_[place].record(stream);
    }
    measured_.record(stream);
    measured_.hold(copy_stream_);
    DYNASCOPE_CUDA_CHECK(cudaMemcpyAsync(bytes_of(host_rows_) + slot * row_bytes_, row, static_cast<size_t>(row_bytes_),
                                         cudaMemcpyDeviceToHost, copy_stream_));
    copied_[place].record(copy_stream_);
    last_slot_[turn] = slot;
  }

  bool ready(int64_t slot) override {
    const c10::cuda::CUDAStreamCaptureModeGuard capture_elsewhere(cudaStreamCaptureModeThreadLocal);
    const cudaError_t status = cudaEventQuery(copied_[static_cast<size_t>(slot)].get());
    if (status == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());
      return false;
    }
    DYNASCOPE_CUDA_CHECK(status);
    return true;
  }

  void wait(int64_t slot) override {
    const c10::cuda::CUDAStreamCaptureModeGuard capture_elsewhere(cudaStreamCaptureModeThreadLocal);
    DYNASCOPE_CUDA_CHECK(cudaEventSynchronize(copied_[static_cast<size_t>(slot)].get()));
  }

  double device_seconds(int64_t slot) override {
    if (begun_.empty()) {
      return 0;
    }
    const c10::cuda::CUDAStreamCaptureModeGuard capture_elsewhere(cudaStreamCaptureModeThreadLocal);
    const auto place = static_cast<size_t>(slot);
    float milliseconds = 0;
    DYNASCOPE_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begun_[place].get(), ended_[place].get()));
    return static_cast<double>(milliseconds) * 1e-3;
  }

  const std::byte* row(int64_t slot) const override { return bytes_of(host_rows_) + slot * row_bytes_; }

  at::Tensor measure_to_tensor(bool histogram) override {
    const c10::cuda::CUDAGuard guard(device_);
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream(device_.index());
    prepare(stream, histogram);
    at::Tensor row = at::empty({row_bytes_}, bytes_on(device_));
    DYNASCOPE_CUDA_CHECK(cudaMemsetAsync(bytes_of(row), 0, static_cast<size_t>(row_bytes_), stream));
    cuda::fill_histograms(program_, bytes_of(row), histogram, stream);
    cuda::launch_snapshot(program_, bytes_of(row), histogram, stream);
    if (!is_capturing(stream)) {
      measured_.record(stream);
    }
    return row;
  }

  const char* name() const noexcept override { return "cuda"; }

  std::string device() const override {
    cudaDeviceProp properties{};
    DYNASCOPE_CUDA_CHECK(cudaGetDeviceProperties(&properties, device_.index()));
    return device_.str() + " (" + properties.name + ")";
  }

 private:
  // One workspace: a measurement on another stream waits for the last one. Edges go to the device when they are new.
  void prepare(cudaStream_t stream, bool histogram) {
    const bool capturing = is_capturing(stream);
    if (stream != stream_ && !capturing) {
      measured_.hold(stream);
      stream_ = stream;
      for (const at::Tensor* used : {&tables_, &workspace_, &moments_, &device_rows_[0], &device_rows_[1]}) {
        used->record_stream(c10::cuda::getCurrentCUDAStream(device_.index()).unwrap());
      }
    }
    if (!histogram || image_.edge_count() == 0) {
      return;
    }
    const double* edges = plan_.tables().histogram_edges;
    if (edges == nullptr) {
      throw Error("a histogram needs its edges: call Plan::set_histogram_edges first");
    }
    if (edges_version_ == plan_.edges_version()) {
      return;
    }
    if (capturing) {
      throw Error(
          "new histogram edges cannot be copied to the device while the stream is captured into a CUDA graph: "
          "measure once before the capture");
    }
    upload(image_.edges_offset(), edges, image_.edge_count() * static_cast<int64_t>(sizeof(double)));
    edges_version_ = plan_.edges_version();
  }

  // On the current stream, through pinned memory: from any other a copy may wait for the stream.
  void upload(int64_t offset, const void* source, int64_t bytes) {
    if (bytes > 0) {
      const at::Tensor staged = at::empty({bytes}, bytes_on(at::kCPU).pinned_memory(true));
      std::memcpy(bytes_of(staged), source, static_cast<size_t>(bytes));
      tables_.narrow(0, offset, bytes).copy_(staged, /*non_blocking=*/true);
    }
  }

  const Plan& plan_;
  const c10::Device device_;
  const int64_t row_bytes_;
  c10::cuda::OptionalCUDAGuard guard_;  // while constructing
  const c10::cuda::CUDAStream copy_stream_;
  const cuda::Image image_;
  cuda::Program program_{};
  at::Tensor tables_, workspace_, moments_;  // on the device
  at::Tensor host_rows_;                     // (slots, row bytes), pinned
  std::array<at::Tensor, 2> device_rows_;    // (row bytes,), used in turns
  std::array<int64_t, 2> last_slot_{-1, -1};
  std::array<bool, 2> counted_{false, false};  // their histograms are not -1
  size_t turn_ = 0;
  int64_t edges_version_ = -1;  // of those on the device
  cudaStream_t stream_ = nullptr;
  Event measured_;                    // the last measurement's kernels
  std::vector<Event> copied_;         // per slot
  std::vector<Event> begun_, ended_;  // per slot, where rows are timed
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const Plan& plan, int64_t slots, bool timed) {
  return std::make_unique<CudaBackend>(plan, slots, timed);
}

}  // namespace dynascope::engine
