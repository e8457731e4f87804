// SPDX-License-Identifier: BSD-3-Clause
#include "initialiser.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace examples {
namespace {

constexpr double kCut = 2;                              // standard deviations
constexpr double kStdOfCutNormal = 0.8796256610342398;  // of a standard normal cut there

// By the inverse of the distribution function: each value takes one random number, whatever is cut off.
void fill_truncated(const at::Tensor& weights, double deviation, at::Generator& generator) {
  const double below = std::erf(kCut / std::sqrt(2.0));
  const at::Tensor uniform =
      at::empty(weights.sizes(), weights.options().dtype(at::kDouble)).uniform_(-below, below, generator);
  weights.copy_(uniform.erfinv_().mul_(std::sqrt(2.0) * deviation).clamp_(-kCut * deviation, kCut * deviation));
}

double fan(const at::Tensor& weights, int64_t which) {
  if (weights.dim() == 1) {
    return static_cast<double>(weights.size(0));
  }
  const double taps = static_cast<double>(weights[0][0].numel());
  const double in = static_cast<double>(weights.size(1)) * taps;
  const double out = static_cast<double>(weights.size(0)) * taps;
  return which == 0 ? in : which == 1 ? out : (in + out) / 2;
}

}  // namespace

const std::vector<std::string>& initialiser_names() {
  static const std::vector<std::string> names{"normal",
                                              "uniform",
                                              "truncated-normal",
                                              "variance-scaling-normal-fan-in",
                                              "variance-scaling-normal-fan-out",
                                              "variance-scaling-normal-fan-avg",
                                              "variance-scaling-uniform-fan-in",
                                              "variance-scaling-uniform-fan-out",
                                              "variance-scaling-uniform-fan-avg"};
  return names;
}

void initialise(const at::Tensor& weights, int64_t initialiser, double scale, at::Generator& generator) {
  if (initialiser == 0) {
    weights.normal_(0, scale, generator);
  } else if (initialiser == 1) {
    weights.uniform_(-scale, scale, generator);
  } else if (initialiser == 2) {
    fill_truncated(weights, scale, generator);
  } else {
    const double variance = scale / std::max(1.0, fan(weights, initialiser % 3));
    if (initialiser < 6) {
      fill_truncated(weights, std::sqrt(variance) / kStdOfCutNormal, generator);
    } else {
      const double limit = std::sqrt(3 * variance);
      weights.uniform_(-limit, limit, generator);
    }
  }
}

}  // namespace examples
