// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/network.hpp>

#include <cstdint>

namespace dynascope::test {

/// A network with everything that the kernels meet: 3 x 10 x 9 input, a padded convolution whose output is pooled, a
/// grouped strided one, a transposed one, a Linear that reads single units, and a weight that no node layer tells.
/// Weights are views: misaligned, transposed, of a slice. Values depend on `seed` alone.
Network mixed_network(at::Device device, at::ScalarType dtype, uint64_t seed);

/// Linear layers 784-200-100-10.
Network mlp_network(at::Device device, at::ScalarType dtype, uint64_t seed);

/// A traced one with identity links of every kind: of single units and whole channels, pooled, broadcast, in another
/// order, from a part of a layer, into a sum that a Linear reads unit by unit.
Network skip_network(at::Device device, at::ScalarType dtype, uint64_t seed);

}  // namespace dynascope::test
