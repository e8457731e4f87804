// SPDX-License-Identifier: BSD-3-Clause
#include "footprint.hpp"
#include "interpreter.hpp"
#include "operators.hpp"
#include "placement.hpp"
#include "recorder.hpp"

#include <dynascope/error.hpp>
#include <dynascope/trace.hpp>

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

namespace dynascope::detail {
namespace {

/// Casts made without gradients must not be handed to the training step that follows.
class NoAutocastCache {
 public:
  NoAutocastCache() { at::autocast::set_autocast_cache_enabled(false); }
  ~NoAutocastCache() { at::autocast::set_autocast_cache_enabled(before_); }
  NoAutocastCache(const NoAutocastCache&) = delete;
  NoAutocastCache& operator=(const NoAutocastCache&) = delete;

 private:
  const bool before_ = at::autocast::is_autocast_cache_enabled();
};

}  // namespace

Network trace(const NamedModules& modules, const ForwardFunction& forward, const TraceOptions& options) {
  for (const auto& [name, module] : modules) {
    if (module.get() == nullptr) {
      throw Error("a module to trace must not be null" + (name.empty() ? std::string() : ", got null for " + name));
    }
  }
  const network::ModuleTree tree = network::walk_modules(modules);
  if (tree.parameters.empty()) {
    throw Error("a module to trace must have parameters, got none; register them, or use NetworkBuilder");
  }
  network::Recording recording;
  {
    const at::NoGradGuard no_grad;
    const NoAutocastCache no_cache;
    network::Footprint footprint(tree);
    network::RecorderOptions recorder;
    recorder.inputs = options.inputs();
    recorder.is_whole = network::is_whole;
    recorder.before_write = [&](const at::Tensor& tensor) { footprint.save(tensor); };
    recording = network::record(tree, forward, recorder);
  }
  Network network = network::place(network::interpret(recording, tree, !options.inputs().empty()));
  check(network);
  return network;
}

}  // namespace dynascope::detail
