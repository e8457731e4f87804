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

// What comes after it has no values, so nothing can be said of how it was made.
void refuse_empty_layers(const Network& network) {
  for (const WeightLayer& layer : network.weight_layers) {
    if (layer.weight.numel() == 0) {
      throw Error("weight layer " + layer.name + " has an axis of size 0, got " + c10::str(layer.weight.sizes()) +
                  "; sizes must be at least 1");
    }
  }
}

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
  refuse_empty_layers(network);
  check(network);
  return network;
}

}  // namespace dynascope::detail
