// SPDX-License-Identifier: BSD-3-Clause
#include "eager.hpp"

#include <hdf5.h>

#include <utility>
#include <vector>

namespace overhead {
namespace {

/// A dataset (rows, width) of float32 that grows by a row.
class Appended {
 public:
  Appended(hid_t file, const std::string& name, hsize_t width) : width_(width) {
    const hsize_t none[] = {0, width}, any[] = {H5S_UNLIMITED, width}, chunk[] = {64, width};
    const hid_t space = H5Screate_simple(2, none, any);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 2, chunk);
    dataset_ = H5Dcreate2(file, name.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Pclose(creation);
    H5Sclose(space);
  }
  ~Appended() { H5Dclose(dataset_); }
  Appended(const Appended&) = delete;
  Appended& operator=(const Appended&) = delete;

  void append(const float* values) {
    const hsize_t size[] = {rows_ + 1, width_}, start[] = {rows_, 0}, count[] = {1, width_};
    H5Dset_extent(dataset_, size);
    const hid_t in_file = H5Dget_space(dataset_);
    H5Sselect_hyperslab(in_file, H5S_SELECT_SET, start, nullptr, count, nullptr);
    const hid_t in_memory = H5Screate_simple(2, count, nullptr);
    H5Dwrite(dataset_, H5T_NATIVE_FLOAT, in_memory, in_file, H5P_DEFAULT, values);
    H5Sclose(in_memory);
    H5Sclose(in_file);
    ++rows_;
  }

 private:
  hid_t dataset_;
  hsize_t width_, rows_ = 0;
};

}  // namespace

class Eager::Impl {
 public:
  Impl(const torch::nn::Module& module, const std::string& path)
      : file_(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)) {
    for (const auto& parameter : module.named_parameters()) {
      if (parameter.value().dim() < 2) {
        continue;
      }
      Layer layer;
      layer.weight = parameter.value();
      const torch::Tensor matrix = layer.weight.detach().flatten(1);
      layer.in = std::make_unique<Appended>(file_, parameter.key() + ".in", matrix.size(0));
      layer.out = std::make_unique<Appended>(file_, parameter.key() + ".out", matrix.size(1));
      layer.summary = std::make_unique<Appended>(file_, parameter.key() + ".summary", 3);
      layers_.push_back(std::move(layer));
    }
  }
  ~Impl() {
    layers_.clear();
    H5Fclose(file_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void record() {
    const torch::NoGradGuard no_grad;
    for (Layer& layer : layers_) {
      const torch::Tensor matrix = layer.weight.flatten(1);
      const torch::Tensor in = matrix.sum(1).cpu(), out = matrix.sum(0).cpu();
      const float summary[] = {matrix.std().item<float>(), matrix.min().item<float>(), matrix.max().item<float>()};
      layer.in->append(in.const_data_ptr<float>());
      layer.out->append(out.const_data_ptr<float>());
      layer.summary->append(summary);
    }
  }

 private:
  struct Layer {
    torch::Tensor weight;
    std::unique_ptr<Appended> in, out, summary;
  };

  hid_t file_;
  std::vector<Layer> layers_;
};

Eager::Eager(const torch::nn::Module& module, const std::string& path) : impl_(std::make_unique<Impl>(module, path)) {}
Eager::~Eager() = default;
void Eager::record() { impl_->record(); }

}  // namespace overhead
