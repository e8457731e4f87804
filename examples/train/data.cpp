// SPDX-License-Identifier: BSD-3-Clause
#include "data.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <fstream>
#include <stdexcept>

namespace examples {
namespace {

int64_t big_endian(const unsigned char* bytes) {
  return int64_t{bytes[0]} << 24 | int64_t{bytes[1]} << 16 | int64_t{bytes[2]} << 8 | int64_t{bytes[3]};
}

std::string images_path(const std::string& folder, const char* part) {
  return folder + "/" + part + "-images-idx3-ubyte";
}

std::string labels_path(const std::string& folder, const char* part) {
  return folder + "/" + part + "-labels-idx1-ubyte";
}

// Not std::filesystem: libtorch.so exports a copy of it that crashes (remove_all) in programs linked to it.
bool has_part(const std::string& folder, const char* part) {
  return std::ifstream(images_path(folder, part)).good() && std::ifstream(labels_path(folder, part)).good();
}

LabelledImages load_part(const std::string& folder, const char* part, int64_t classes) {
  const at::Tensor images = read_idx(images_path(folder, part), 3);
  const at::Tensor labels = read_idx(labels_path(folder, part), 1);
  if (images.size(0) != labels.size(0)) {
    throw std::runtime_error("images and labels must be as many, got " + std::to_string(images.size(0)) + " in " +
                             images_path(folder, part) + " and " + std::to_string(labels.size(0)) + " in " +
                             labels_path(folder, part));
  }
  if (labels.numel() == 0) {
    throw std::runtime_error(labels_path(folder, part) + " is empty");
  }
  const auto highest = labels.max().item<int64_t>();
  if (highest >= classes) {
    throw std::runtime_error("labels must be 0 to " + std::to_string(classes - 1) + ", got " + std::to_string(highest) +
                             " in " + labels_path(folder, part));
  }
  return {images.unsqueeze(1).to(at::kFloat).div_(255), labels.to(at::kLong)};
}

LabelledImages choose(const LabelledImages& from, const at::Tensor& indices) {
  return {from.images.index_select(0, indices), from.labels.index_select(0, indices)};
}

}  // namespace

at::Tensor read_idx(const std::string& path, int64_t axes) {
  constexpr int64_t kUnsignedByte = 8;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto on_disk = static_cast<int64_t>(file.tellg()) - 4 * (axes + 1);
  if (!file.seekg(0)) {
    throw std::runtime_error("cannot read " + path);
  }
  unsigned char bytes[4] = {};
  const auto next = [&] {
    if (!file.read(reinterpret_cast<char*>(bytes), 4)) {
      throw std::runtime_error(path + " ends inside its header; it is no IDX file, or cut short");
    }
    return big_endian(bytes);
  };
  const int64_t magic = next();
  const int64_t expected = kUnsignedByte << 8 | axes;
  if (magic != expected) {
    throw std::runtime_error(path + ": magic number must be " + std::to_string(expected) + " (unsigned bytes, " +
                             std::to_string(axes) + " axes), got " + std::to_string(magic) +
                             "; is it still compressed?");
  }
  std::vector<int64_t> shape;
  // Three sizes below 2^32 would overflow 64 bits: stop at more than the file could hold.
  int64_t announced = 1;
  for (int64_t axis = 0; axis < axes; ++axis) {
    shape.push_back(next());
    if (shape.back() > 0 && announced > (int64_t{1} << 40) / shape.back()) {
      throw std::runtime_error(path + ": its header announces more than 2^40 bytes, " + std::to_string(on_disk) +
                               " are there");
    }
    announced *= shape.back();
  }
  if (announced != on_disk) {
    throw std::runtime_error(path + ": its header announces " + std::to_string(announced) + " bytes of data, " +
                             std::to_string(on_disk) + " are there");
  }
  at::Tensor values = at::empty(shape, at::kByte);
  if (!file.read(reinterpret_cast<char*>(values.data_ptr<uint8_t>()), announced)) {
    throw std::runtime_error("cannot read " + path);
  }
  return values;
}

DataSet load_images(const std::string& folder, uint64_t seed) {
  DataSet data;
  if (!has_part(folder, "t10k")) {
    throw std::runtime_error("no data in " + folder + ": expected " + images_path(folder, "t10k") + " and " +
                             labels_path(folder, "t10k") + " (examples/python/make_digits.py makes those of digits)");
  }
  data.test = load_part(folder, "t10k", data.classes);
  if (has_part(folder, "train")) {
    data.train = load_part(folder, "train", data.classes);
    if (data.train.images.sizes().slice(1) != data.test.images.sizes().slice(1)) {
      throw std::runtime_error("images to train and to test must have one size, got " +
                               c10::str(data.train.images.sizes(), " and ", data.test.images.sizes(), " in ", folder));
    }
    return data;
  }
  const at::Tensor order = at::randperm(data.test.size(), at::detail::createCPUGenerator(seed), at::kLong);
  const int64_t train = data.test.size() * 4 / 5;
  const LabelledImages all = data.test;
  data.train = choose(all, order.slice(0, 0, train));
  data.test = choose(all, order.slice(0, train));
  return data;
}

}  // namespace examples
