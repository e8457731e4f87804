// SPDX-License-Identifier: BSD-3-Clause
// Contractions of two activations, and the scores that come out (docs/metrics.md, section 1, rule 6).
#include "interpreter_class.hpp"

#include <utility>

namespace dynascope::network {
namespace {

using Kind = Signal::Kind;

/// Operands that a contraction multiplies; what it adds is none of them.
std::vector<const char*> factors_of(const std::string& name) {
  const std::string key = plain_name(name);
  if (key == "baddbmm") {
    return {"batch1", "batch2"};
  }
  if (key == "addmm") {
    return {"mat1", "mat2"};
  }
  return {"self", key == "matmul" ? "other" : key == "mv" ? "vec" : key == "dot" ? "tensor" : "mat2"};
}

}  // namespace

/// A contraction of activations makes scores of them, or applies one that a softmax made to the other.
bool Interpreter::contracts(Call& call, const std::vector<Activation>& activations) {
  if (!is_contraction(call.operation.name) || activations.size() < 2) {
    return false;
  }
  const std::vector<const char*> names = factors_of(call.operation.name);
  const Signal& left = call.signal(names[0]);
  const Signal& right = call.signal(names[1]);
  if (left.kind != Kind::kActivation || right.kind != Kind::kActivation) {
    return false;
  }
  if (left.soft == right.soft) {
    for (const Activation& activation : activations) {
      builder_.read_by_scores(activation);
    }
    Signal scores;
    scores.kind = Kind::kScores;
    finish(call.operation, scores);
    return true;
  }
  builder_.read_by_scores((left.soft ? left : right).activation);
  try {
    finish(call.operation, activation_signal(apply_scores(call, names[left.soft ? 1 : 0])));
  } catch (const NotFollowed& problem) {
    stop(call, activations, problem.what());
  }
  return true;
}

/// What scores are applied to is transparent; everything else that meets scores ends in them.
void Interpreter::read_scores(Call& call, const std::vector<Activation>& activations) {
  const Operation& operation = call.operation;
  if (is_placed_layer(operation.name) && uses_parameters(operation)) {
    stop(call, activations, "it reads scores");
    return;
  }
  try {
    if (is_contraction(operation.name)) {
      const std::vector<const char*> names = factors_of(operation.name);
      for (const size_t value : {size_t{0}, size_t{1}}) {
        if (call.signal(names[value]).kind == Kind::kActivation &&
            call.signal(names[1 - value]).kind == Kind::kScores) {
          finish(operation, activation_signal(apply_scores(call, names[value])));
          return;
        }
      }
    }
    if (combination_of(operation.name) == Combination::kProduct && activations.size() == 1 &&
        builder_.sizes(activations[0]) == call.output_sizes()) {
      finish(operation, activation_signal(activations[0]));
      return;
    }
  } catch (const NotFollowed& problem) {
    stop(call, activations, problem.what());
    return;
  }
  for (const Activation& activation : activations) {
    builder_.read_by_scores(activation);
  }
  Signal scores;
  scores.kind = Kind::kScores;
  finish(operation, scores);
}

}  // namespace dynascope::network
