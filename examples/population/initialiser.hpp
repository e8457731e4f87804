// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace examples {

/// How start values are drawn, by name, with a scale. As Keras defines them, which the paper's authors used:
///
/// "normal": mean 0, standard deviation `scale`. "uniform": -scale to scale. "truncated-normal": as normal, but nothing
/// beyond two standard deviations. "variance-scaling-normal-FAN", "variance-scaling-uniform-FAN": variance scale / n,
/// the normal one truncated at two standard deviations of what it is cut from; n is the layer's "fan-in", "fan-out" or
/// their mean, "fan-avg". A bias of n values has n for either fan.
const std::vector<std::string>& initialiser_names();

/// Fills a float32 tensor.
///
/// @param initialiser  position in initialiser_names()
/// @param weights      a weight (out, in, kernel...), or a bias (out,)
void initialise(const at::Tensor& weights, int64_t initialiser, double scale, at::Generator& generator);

}  // namespace examples
