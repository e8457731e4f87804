// SPDX-License-Identifier: BSD-3-Clause
// Which elements of which parameter an operator uses as its weight.
#include "derivations.hpp"
#include "operators.hpp"
#include "placement.hpp"

#include <ATen/ATen.h>

namespace dynascope::network {
namespace {

bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.storage_offset() != b.storage_offset()) {
    return false;
  }
  for (int64_t dim = 0; dim < a.dim(); ++dim) {
    if (a.size(dim) > 1 && a.stride(dim) != b.stride(dim)) {
      return false;
    }
  }
  return true;
}

/// First row when `view` is a range of rows of `parameter`; -1 otherwise.
int64_t first_row(const at::Tensor& view, const at::Tensor& parameter) {
  if (view.dim() != parameter.dim() || view.dim() == 0 || parameter.stride(0) == 0 || view.numel() == 0) {
    return -1;
  }
  const int64_t first = (view.storage_offset() - parameter.storage_offset()) / parameter.stride(0);
  return first >= 0 && first + view.size(0) <= parameter.size(0) &&
                 same_layout(view, parameter.narrow(0, first, view.size(0)))
             ? first
             : -1;
}

/// "fc1" for "fc1.weight"; the name itself where there is no module.
std::string owner_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos || dot == 0 ? path : path.substr(0, dot);
}

/// The weight has the path that it would have as a parameter of the module that most of it comes from.
Use use_of_computed(const Call& call, const Signal& signal, const char* operator_name, int64_t output_dim) {
  const Derivations::Weight weight = call.derivations.find(call, signal.value);
  if (const std::string reason = unmeasurable(weight.value); !reason.empty()) {
    throw NotFollowed("its weight is " + reason);
  }
  if (weight.value.dim() < 2 || (std::string(operator_name) == "linear" && weight.value.dim() != 2)) {
    throw NotFollowed("its weight has " + std::to_string(weight.value.dim()) + " dimensions");
  }
  const std::string& parameter = call.tree.parameters[weight.largest].name;
  Use use;
  use.layer.operator_name = operator_name;
  use.layer.weight = weight.value;
  use.layer.transposed = (output_dim != 0) != weight.turned;
  use.owner = owner_of(parameter);
  use.layer.name = use.owner == parameter ? parameter : use.owner + ".weight";
  return use;
}

at::Tensor computed_bias(const Call& call, const Signal& signal, int64_t outputs) {
  at::Tensor value;
  try {
    value = call.derivations.find(call, signal.value).value;
  } catch (const NotFollowed& problem) {
    std::string text = problem.what();
    const std::string subject = "its weight";
    text.replace(0, text.compare(0, subject.size(), subject) == 0 ? subject.size() : 0, "its bias");
    throw NotFollowed(text);
  }
  if (const std::string reason = unmeasurable(value); !reason.empty()) {
    throw NotFollowed("its bias is " + reason);
  }
  if (value.numel() != outputs) {
    throw NotFollowed("its bias has another size than its outputs");
  }
  return value.view({outputs});
}

}  // namespace

Use use_of_parameter(const Call& call, const Signal& signal, const char* operator_name, int64_t output_dim) {
  if (signal.kind == Signal::Kind::kComputed) {
    return use_of_computed(call, signal, operator_name, output_dim);
  }
  if (signal.kind != Signal::Kind::kParameter) {
    throw NotFollowed("its weight is no parameter of the module");
  }
  const NamedParameter& parameter = call.tree.parameters[static_cast<size_t>(signal.parameter)];
  if (const std::string reason = unmeasurable(parameter.value); !reason.empty()) {
    throw NotFollowed("its weight " + parameter.name + " is " + reason);
  }
  Use use;
  use.layer.operator_name = operator_name;
  use.owner = owner_of(parameter.name);
  use.layer.name = parameter.name;

  // A Linear's weight arrives as its transpose: the parameter itself is what is measured.
  const at::Tensor& view = signal.view;
  const bool flat = view.dim() == 2;
  for (const bool turned : {false, true}) {
    if (turned && !flat) {
      continue;
    }
    const at::Tensor straight = turned ? view.t() : view;
    const bool outputs_first = (output_dim == 0) != turned;
    if (same_layout(straight, parameter.value)) {
      use.layer.weight = parameter.value;
    } else if (const int64_t first = first_row(straight, parameter.value); first >= 0) {
      use.layer.weight = parameter.value.narrow(0, first, straight.size(0));
      use.first_row = first;
      use.range = "[" + range_text(first, straight.size(0)) + "]";
      use.layer.name += use.range;
      use.owner += use.range;
    } else {
      continue;
    }
    use.layer.transposed = !outputs_first;
    return use;
  }
  if (view.numel() == parameter.value.numel() && view.is_contiguous() && parameter.value.is_contiguous() &&
      view.storage_offset() == parameter.value.storage_offset()) {
    use.layer.weight = view;
    use.layer.transposed = output_dim != 0;
    return use;
  }
  throw NotFollowed("its weight is a part of " + parameter.name + " that is no range of rows");
}

at::Tensor bias_of(const Call& call, const Signal& signal, int64_t outputs) {
  if (signal.kind == Signal::Kind::kComputed) {
    return computed_bias(call, signal, outputs);
  }
  if (signal.kind == Signal::Kind::kActivation) {
    throw NotFollowed("it adds an activation");
  }
  if (signal.kind != Signal::Kind::kParameter) {
    return {};
  }
  if (const std::string reason = unmeasurable(signal.view); !reason.empty()) {
    throw NotFollowed("its bias is " + reason);
  }
  if (signal.view.numel() != outputs) {
    throw NotFollowed("its bias has another size than its outputs");
  }
  return signal.view.dim() == 1 ? signal.view : signal.view.view({outputs});
}

at::Tensor bias_of(const Call& call, const char* name, int64_t outputs) {
  return call.has(name) ? bias_of(call, call.signal(name), outputs) : at::Tensor();
}

}  // namespace dynascope::network
