// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/module_ref.hpp>
#include <dynascope/network.hpp>
#include <dynascope/option.hpp>

#include <ATen/core/Tensor.h>

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace dynascope {

/// How a forward pass is read.
class TraceOptions {
 public:
  /// The network's inputs; empty: every tensor from outside the module that a weight layer reads.
  DYNASCOPE_OPTION(std::vector<at::Tensor>, inputs);
};

namespace detail {

using ForwardFunction = std::function<std::vector<at::Tensor>()>;

DYNASCOPE_API Network trace(const NamedModules& modules, const ForwardFunction& forward, const TraceOptions& options);

inline void collect(std::vector<at::Tensor>& into, const at::Tensor& value) { into.push_back(value); }
template <typename T>
void collect(std::vector<at::Tensor>& into, const std::vector<T>& values) {
  for (const auto& value : values) {
    collect(into, value);
  }
}
template <typename... T>
void collect(std::vector<at::Tensor>& into, const std::tuple<T...>& values) {
  std::apply([&](const auto&... value) { (collect(into, value), ...); }, values);
}

/// The callable as a function that returns its output tensors; `void` callables return none.
template <typename Forward>
ForwardFunction outputs_of(Forward&& forward) {
  return [&forward]() -> std::vector<at::Tensor> {
    std::vector<at::Tensor> outputs;
    if constexpr (std::is_void_v<std::invoke_result_t<Forward&>>) {
      forward();
    } else {
      collect(outputs, forward());
    }
    return outputs;
  };
}

}  // namespace detail

/// The graph of a module, from one forward pass.
///
/// Runs `forward` once, in evaluation mode and without gradients, and records its operators. Leaves no footprint:
/// training flags, random-number state, buffers and parameters are afterwards as they were. What cannot be placed in
/// the graph is listed in Network::skipped with a reason; nothing is guessed (docs/metrics.md, section 1, rule 8).
///
/// @param module   the network; reference, shared_ptr or TORCH_MODULE holder
/// @param forward  runs one forward pass and returns its output: a tensor, a tuple or vector of tensors, or nothing
/// @throws Error when `forward` uses no parameter of `module`; whatever `forward` throws
template <typename Forward>
Network trace(const ModuleRef& module, Forward&& forward, const TraceOptions& options = {}) {
  return detail::trace({{"", module}}, detail::outputs_of(forward), options);
}

/// The same for several modules that one forward pass runs: paths are prefixed with each module's name.
template <typename Forward>
Network trace(const NamedModules& modules, Forward&& forward, const TraceOptions& options = {}) {
  return detail::trace(modules, detail::outputs_of(forward), options);
}

/// What can be said of a module without a forward pass.
///
/// A Sequential that begins with a Linear is run on one random example; anything else is measured layer by layer: no
/// node layers, every weight in `weight_layers`, and a line in `skipped` that says to call trace().
DYNASCOPE_API Network walk(const NamedModules& modules);

/// `network` without the weight layers for which `keep` is false, and without the node layers that they touch: a node
/// layer stands only with all its links. What is left out is added to `skipped` as "excluded".
DYNASCOPE_API Network select(const Network& network, const std::function<bool(const std::string& path)>& keep);

}  // namespace dynascope
