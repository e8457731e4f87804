// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Why at::RecordFunction: C++ modules have no forward hooks, a dispatch mode or a tensor subclass would change what the
// user's code sees, and symbolic tracing does not exist for C++. RecordFunction shows every operator with its arguments
// and changes nothing. Records of other threads are not seen.

#include "module_tree.hpp"
#include "recording.hpp"

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace dynascope::network {

struct RecorderOptions {
  std::vector<at::Tensor> inputs;
  /// Operators to keep whole; composite ones for which it is false are recorded as their parts.
  std::function<bool(const std::string& name)> is_whole;
  /// Called before a parameter or buffer is written to.
  std::function<void(const at::Tensor& tensor)> before_write;
};

/// Runs `forward` on this thread and records its operators. All tensors seen stay alive in the recording: a freed one's
/// memory would make two values look like one.
Recording record(const ModuleTree& tree, const std::function<std::vector<at::Tensor>()>& forward,
                 const RecorderOptions& options);

}  // namespace dynascope::network
