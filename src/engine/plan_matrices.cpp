// SPDX-License-Identifier: BSD-3-Clause
#include "plan_compiler.hpp"
#include "tree.hpp"

#include <dynascope/error.hpp>

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace dynascope::engine {
namespace {

int64_t blocks_of(int64_t size, int64_t block) { return (size + block - 1) / block; }

std::optional<Dtype> dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return Dtype::kFloat32;
    case at::kDouble:
      return Dtype::kFloat64;
    case at::kBFloat16:
      return Dtype::kBFloat16;
    case at::kHalf:
      return Dtype::kFloat16;
    default:
      return std::nullopt;
  }
}

struct Dimension {
  int64_t size, stride;
};

// The dimensions of `tensor` from `first` on, neighbours that one stride walks made one, until at most `most` are left;
// nothing when more remain.
std::optional<std::vector<Dimension>> dimensions_of(const at::Tensor& tensor, int64_t first, size_t most) {
  std::vector<Dimension> dimensions;
  for (int64_t d = first; d < tensor.dim(); ++d) {
    dimensions.push_back({tensor.size(d), tensor.stride(d)});
  }
  for (size_t d = dimensions.size(); d-- > 1 && dimensions.size() > most;) {
    Dimension& outer = dimensions[d - 1];
    const Dimension inner = dimensions[d];
    if (outer.size == 1 || inner.size == 1 || outer.stride == inner.stride * inner.size) {
      outer = {outer.size * inner.size, inner.size == 1 ? outer.stride : inner.stride};
      dimensions.erase(dimensions.begin() + static_cast<std::ptrdiff_t>(d));
    }
  }
  if (dimensions.size() > most) {
    return std::nullopt;
  }
  return dimensions;
}

}  // namespace

bool is_turned(const WeightLayer& layer, const Matrix& matrix) {
  return matrix.rows != (layer.weight.dim() > 0 ? layer.weight.size(0) : 1);
}

int64_t PlanCompiler::take_workspace(int64_t doubles) {
  return std::exchange(plan_.workspace_doubles_, plan_.workspace_doubles_ + doubles);
}

void PlanCompiler::watch(const at::Tensor& tensor, const std::string& name) {
  if (tensor.layout() != at::kStrided || !dtype_of(tensor)) {
    throw Error("a parameter must be a dense tensor of float64, float32, bfloat16 or float16, got " +
                c10::str(tensor.layout(), " ", tensor.scalar_type()) + " for " + name);
  }
  if (plan_.watched_.empty()) {
    plan_.device_ = tensor.device();
  } else if (tensor.device() != plan_.device_) {
    throw Error("parameters must be on one device, got " + plan_.device_.str() + " for " + plan_.watched_.front().name +
                " and " + tensor.device().str() + " for " + name);
  }
  const bool known = std::any_of(plan_.watched_.begin(), plan_.watched_.end(),
                                 [&](const auto& watched) { return watched.tensor.is_same(tensor); });
  if (!known) {
    plan_.watched_.push_back({tensor, name, tensor.const_data_ptr(), tensor.sizes().vec(), tensor.strides().vec(),
                              tensor.scalar_type(), tensor.device()});
  }
}

void PlanCompiler::add_weight_layers() {
  const auto& layers = plan_.network_.weight_layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    const WeightLayer& layer = layers[i];
    const auto index = static_cast<int32_t>(i);
    if (!layer.weight.defined()) {
      throw Error("weight layer " + layer.name + " must have a weight, got an undefined tensor");
    }
    const auto placed = [](const LinkEnd& end) { return end.node_layer >= 0; };
    const bool plain = std::none_of(layer.sources.begin(), layer.sources.end(), placed) &&
                       std::none_of(layer.targets.begin(), layer.targets.end(), placed);

    LinkPlan link{static_cast<int32_t>(plan_.matrices_.size()), 1, -1, -1};
    WeightLayerInfo info{layer.name, layer.weight.numel(), 0, 0};
    watch(layer.weight, layer.name);
    add_matrix(layer.weight, layer.name, index, plain);
    if (plain) {
      const Matrix& matrix = plan_.matrices_.back();
      const int64_t columns = matrix.columns * matrix.taps;
      info.rows = is_turned(layer, matrix) ? columns : matrix.rows;
      info.columns = is_turned(layer, matrix) ? matrix.rows : columns;
    }
    if (layer.bias.defined() && plan_.options_.metrics.bias() == Bias::kIn) {
      const std::string name = "the bias of " + layer.name;
      watch(layer.bias, name);
      add_matrix(layer.bias.unsqueeze(0), name, index, true);
      info.count += layer.bias.numel();
      link.matrices = 2;
    }
    plan_.links_.push_back(link);
    plan_.description_.weight_layers.push_back(std::move(info));
  }
}

void PlanCompiler::add_matrix(const at::Tensor& tensor, const std::string& name, int32_t layer, bool plain) {
  const WeightLayer& weight_layer = plan_.network_.weight_layers[static_cast<size_t>(layer)];
  std::vector<Dimension> taps;
  Matrix matrix{};
  matrix.data = tensor.const_data_ptr();
  matrix.dtype = *dtype_of(tensor);
  matrix.weight_layer = layer;
  matrix.rows = tensor.dim() > 0 ? tensor.size(0) : 1;
  matrix.row_stride = tensor.dim() > 0 ? tensor.stride(0) : 0;
  matrix.columns = tensor.dim() > 1 ? tensor.size(1) : 1;
  matrix.column_stride = tensor.dim() > 1 ? tensor.stride(1) : 0;
  matrix.groups = plain ? 1 : weight_layer.groups;
  if (const auto found = dimensions_of(tensor, 2, plain ? 3 : SIZE_MAX)) {
    taps = *found;
  } else {
    throw Error("a parameter of more than five dimensions must be contiguous, got " +
                c10::str(tensor.sizes(), " with strides ", tensor.strides()) + " for " + name);
  }
  if (!plain) {
    bool fits = tensor.dim() >= 2 && taps.size() == weight_layer.axes.size() && matrix.groups > 0 &&
                matrix.rows % matrix.groups == 0;
    for (size_t d = 0; fits && d < taps.size(); ++d) {
      fits = taps[d].size == weight_layer.axes[d].kernel;
    }
    if (!fits) {
      std::vector<int64_t> kernel;
      for (const ConvolutionAxis& axis : weight_layer.axes) {
        kernel.push_back(axis.kernel);
      }
      throw Error("a weight must have rows that its groups divide, columns, and the kernel of its operator, got " +
                  c10::str(tensor.sizes()) + " with " + std::to_string(matrix.groups) + " groups and kernel " +
                  c10::str(at::IntArrayRef(kernel)) + " for " + name);
    }
  }
  if (matrix.rows == matrix.groups && matrix.columns == 1) {
    matrix.groups = 1;  // a row is its own group: its sums are those of its columns (add_terms)
  }
  matrix.taps = 1;
  for (size_t d = 0; d < 3; ++d) {
    matrix.kernel[d] = d < taps.size() ? taps[d].size : 1;
    matrix.tap_stride[d] = d < taps.size() ? taps[d].stride : 0;
    matrix.taps *= matrix.kernel[d];
  }
  if (matrix.columns * matrix.taps == 1 && matrix.groups == 1) {
    std::swap(matrix.rows, matrix.columns);  // one long row instead of many short ones (is_turned)
    std::swap(matrix.row_stride, matrix.column_stride);
  }
  add_tiles(matrix);
  plan_.matrices_.push_back(matrix);
}

void PlanCompiler::add_tiles(Matrix& matrix) {
  const int64_t group_rows = matrix.groups > 0 ? matrix.rows / matrix.groups : 0;
  const int64_t tile_taps = std::min<int64_t>(matrix.taps, kTileLanes);
  const int64_t rows = tile_rows(matrix);
  const int64_t columns = tile_columns(matrix);
  const bool empty = group_rows == 0 || matrix.columns == 0 || matrix.taps == 0;
  matrix.row_blocks = empty ? 0 : blocks_of(group_rows, rows);
  matrix.column_blocks = empty ? 0 : blocks_of(matrix.columns, columns);
  matrix.tap_blocks = empty ? 0 : blocks_of(matrix.taps, tile_taps);
  matrix.first_tile = static_cast<int64_t>(plan_.tiles_.size());

  matrix.row_sums = take_workspace(matrix.rows * matrix.taps);
  matrix.column_sums = take_workspace(matrix.groups * matrix.columns * matrix.taps);
  matrix.row_partials =
      matrix.column_blocks == 1 ? matrix.row_sums : take_workspace(matrix.rows * matrix.taps * matrix.column_blocks);
  matrix.column_partials = matrix.row_blocks == 1
                               ? matrix.column_sums
                               : take_workspace(matrix.groups * matrix.row_blocks * matrix.columns * matrix.taps);

  const auto part = [](int64_t size, int64_t first, int64_t block) {
    return static_cast<int32_t>(std::min(block, size - first));
  };
  for (int64_t group = 0; group < (empty ? 0 : matrix.groups); ++group) {
    for (int64_t row = 0; row < group_rows; row += rows) {
      for (int64_t column = 0; column < matrix.columns; column += columns) {
        for (int64_t tap = 0; tap < matrix.taps; tap += tile_taps) {
          plan_.tiles_.push_back({static_cast<int32_t>(plan_.matrices_.size()), part(group_rows, row, rows),
                                  part(matrix.columns, column, columns), part(matrix.taps, tap, tile_taps),
                                  group * group_rows + row, column, tap});
        }
      }
    }
  }
}

void PlanCompiler::add_parameters() {
  for (const NamedParameter& parameter : plan_.network_.parameters) {
    const at::Tensor& value = parameter.value;
    const bool dense = value.layout() == at::kStrided;
    const auto position = static_cast<size_t>(&parameter - plan_.network_.parameters.data());
    const auto& computed = plan_.network_.computed;
    const bool used = std::any_of(computed.begin(), computed.end(), [position](const ComputedWeight& weight) {
      return std::find(weight.parameters.begin(), weight.parameters.end(), position) != weight.parameters.end();
    });
    const bool measured =
        used || (dense && std::any_of(plan_.watched_.begin(), plan_.watched_.end(),
                                      [&](const auto& watched) { return watched.tensor.is_alias_of(value); }));
    if (plan_.options_.record_parameters) {
      const auto dimensions = dense ? dimensions_of(value, 0, 6) : std::nullopt;
      if (!dimensions || !dtype_of(value)) {
        plan_.description_.skipped.push_back(
            {parameter.name,
             c10::str("values cannot be recorded: ", value.scalar_type(), " of ", value.dim(), " dimensions")});
        continue;
      }
      Copy copy{};
      copy.data = value.const_data_ptr();
      copy.dtype = *dtype_of(value);
      const auto& stored = plan_.options_.stored;
      const auto before = std::find_if(stored.begin(), stored.end(),
                                       [&](const ParameterInfo& info) { return info.name == parameter.name; });
      copy.to_float64 = (before == stored.end() ? copy.dtype == Dtype::kFloat64 : before->float64) ? 1 : 0;
      copy.count = value.numel();
      for (size_t d = 0; d < 6; ++d) {
        const size_t missing = 6 - dimensions->size();
        copy.sizes[d] = d < missing ? 1 : (*dimensions)[d - missing].size;
        copy.strides[d] = d < missing ? 0 : (*dimensions)[d - missing].stride;
      }
      plan_.copies_.push_back(copy);
      plan_.description_.parameters.push_back({parameter.name, value.sizes().vec(), copy.to_float64 != 0});
    }
    // A weight may be a view of its parameter: when the parameter moves, only the parameter itself shows it.
    if (measured || plan_.options_.record_parameters) {
      watch(value, parameter.name);
    }
  }
}

}  // namespace dynascope::engine
