// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One forward pass as the operators that ran, on numbered values. Plain data: the form that the recorder writes and
// that operators.cpp reads.

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dynascope::network {

using ValueId = int32_t;

/// A tensor at one time: writing in place makes a new value of the same tensor.
struct Value {
  enum class Kind {
    kOperator,    ///< made by a recorded operator
    kParameter,   ///< a parameter of the module, or a view of one
    kBuffer,      ///< likewise a buffer
    kOutside,     ///< from anywhere else
    kUnseenView,  ///< shares the storage of a value, no recorded operator made it
  };
  Kind kind = Kind::kOperator;
  at::Tensor tensor;
  std::vector<int64_t> sizes;
  bool floating = true;
  int32_t parameter = -1;  ///< position in ModuleTree::parameters
  int32_t storage = -1;    ///< equal for values that share memory
  bool given = false;      ///< named by TraceOptions::inputs
};

struct Argument {
  std::string name;  ///< as the operator's schema has it
  bool tensors = false;
  bool list = false;            ///< of tensors
  std::vector<ValueId> values;  ///< of a tensor or a list of tensors; -1: undefined
  c10::IValue other;            ///< of anything else
};

struct Operation {
  std::string name;  ///< for example "aten::conv2d"
  std::string overload;
  std::vector<Argument> arguments;
  std::vector<ValueId> written;  ///< operands that it writes to
  std::vector<ValueId> outputs;  ///< new values, or an operand that it returns unchanged
  /// Other values in memory that it wrote to: before, after.
  std::vector<std::pair<ValueId, ValueId>> aliases;
};

struct Recording {
  std::vector<Value> values;
  std::vector<Operation> operations;
  std::vector<ValueId> outputs;  ///< what the callable returned
};

}  // namespace dynascope::network
