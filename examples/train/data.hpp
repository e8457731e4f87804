// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace examples {

/// Images with their labels; of a text see text.hpp.
struct LabelledImages {
  at::Tensor images;  ///< float32 (N, 1, height, width), pixels 0 to 1
  at::Tensor labels;  ///< int64 (N,)

  int64_t size() const { return labels.size(0); }
};

struct DataSet {
  LabelledImages train;
  LabelledImages test;
  int64_t classes = 10;
};

/// One IDX file of unsigned bytes, as the MNIST files are.
///
/// @param axes  how many axes it must have: 3 for images, 1 for labels
/// @return uint8 tensor of the shape in the file's header
/// @throws std::runtime_error when the file cannot be read, its magic number is another, or its size is not the one
/// that its header announces (says both)
at::Tensor read_idx(const std::string& path, int64_t axes);

/// The four IDX files train-{images,labels}, t10k-{images,labels} of a folder. Where only the test pair is there, it is
/// shuffled with `seed` and split: four fifths to train, one fifth to test (8,000 and 2,000 of MNIST).
/// @throws std::runtime_error when files are missing or do not fit together (says which and how to get them)
DataSet load_images(const std::string& folder, uint64_t seed);

}  // namespace examples
