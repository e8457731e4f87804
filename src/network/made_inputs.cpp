// SPDX-License-Identifier: BSD-3-Clause
#include "made_inputs.hpp"

#include "operators.hpp"

#include <string>
#include <vector>

namespace dynascope::network {
namespace {

using Roots = std::set<ValueId>;

bool fills_tensors(const std::string& name) {
  static const std::set<std::string> kNames = {"aten::randn",   "aten::rand",     "aten::randint", "aten::ones",
                                               "aten::zeros",   "aten::full",     "aten::normal",  "aten::from_file",
                                               "aten::normal_", "aten::uniform_", "aten::random_", "aten::fill_"};
  return kNames.count(name) != 0;
}

bool passes_on(const std::string& name) {
  return is_transparent(name) || name == "aten::copy_" || (find_reader(name) != nullptr && !is_placed_layer(name));
}

/// What a value derives from.
struct Trail {
  Roots roots;
  bool parameter = false;   ///< from a parameter
  bool activation = false;  ///< from what a weight layer wrote: what else went into it is no input
};

class Finder {
 public:
  explicit Finder(const Recording& recording) : recording_(recording), trails_(recording.values.size()) {
    for (size_t id = 0; id < trails_.size(); ++id) {
      const Value& value = recording.values[id];
      const bool many = value.kind == Value::Kind::kOutside && value.tensor.numel() != 1;
      trails_[id].parameter = value.kind == Value::Kind::kParameter;
      if (many && value.tensor.scalar_type() != at::kBool) {
        trails_[id].roots = {static_cast<ValueId>(id)};
      }
    }
  }

  Roots run() {
    for (const Operation& operation : recording_.operations) {
      const std::string name = plain_name(operation.name);
      Trail trail = gather(operation);
      if (is_placed_layer(operation.name) && trail.parameter) {
        if (find_embedding_reader(name) == nullptr) {
          inputs_.insert(trail.roots.begin(), trail.roots.end());
        }
        trail = {{}, false, true};
      }
      for (const ValueId id : operation.outputs) {
        hand_on(operation.name, trail, id);
      }
      for (const auto& alias : operation.aliases) {
        hand_on(operation.name, trail, alias.second);
      }
    }
    return inputs_;
  }

 private:
  Trail gather(const Operation& operation) const {
    const std::string key = plain_name(operation.name);
    const auto holds_inputs = [&](size_t argument) {
      const bool added = key == "addmm" || key == "addmv" || key == "baddbmm";
      return find_recurrent_reader(key) != nullptr ? argument == 0  // no first state
                                                   : argument > 0 || !added;
    };
    Trail result;
    for (size_t i = 0; i < operation.arguments.size(); ++i) {
      for (const ValueId id : operation.arguments[i].values) {
        if (id >= 0) {
          const Trail& trail = trails_[static_cast<size_t>(id)];
          if (holds_inputs(i)) {
            result.roots.insert(trail.roots.begin(), trail.roots.end());
            result.activation = result.activation || trail.activation;
          }
          result.parameter = result.parameter || trail.parameter;
        }
      }
    }
    if (result.activation) {
      result.roots.clear();
    }
    return result;
  }

  void hand_on(const std::string& name, const Trail& trail, ValueId to) {
    Trail& result = trails_[static_cast<size_t>(to)];
    result.parameter = result.parameter || trail.parameter;
    result.activation = trail.activation;
    result.roots = fills_tensors(name) ? Roots{to} : Roots{};
    for (const ValueId root : trail.roots) {  // what is not understood still reads an input, and says so
      const Value& from = recording_.values[static_cast<size_t>(root)];
      if (!fills_tensors(name) && (passes_on(name) || (from.kind == Value::Kind::kOutside && from.floating))) {
        result.roots.insert(root);
      }
    }
  }

  const Recording& recording_;
  std::vector<Trail> trails_;
  Roots inputs_;
};

}  // namespace

std::set<ValueId> find_made_inputs(const Recording& recording) { return Finder(recording).run(); }

}  // namespace dynascope::network
