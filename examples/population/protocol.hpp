// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace examples {

/// What a population is made of: the choices that all networks share, and those that are drawn for each.
struct Protocol {
  std::string model = "fc";
  int64_t hidden = 32;
  std::string init = "normal";  ///< of initialiser_names(), or "any": drawn per network
  double scale = 0.05;
  int64_t least_epochs = 1;
  int64_t most_epochs = 5;
  std::string optimizer = "any";  ///< "sgd" (learning rate 0.01), "adam" (0.001), or "any": drawn per network
  double cut_nets = 0.2;          ///< part of the networks that see only a cut of the images
  double cut_images = 0.05;       ///< how much of them they see
  int64_t batch_size = 64;
  uint64_t seed = 1;
};

/// One network, before it is trained.
struct Net {
  int64_t number = 0;
  int64_t seed = 0;  ///< of its start values and of what follows here
  bool adam = false;
  bool cut = false;
  int64_t initialiser = 0;
  int64_t epochs = 0;
};

/// Network `number`: depends on the protocol alone, so that a population can be made longer, or again in any order.
Net draw(const Protocol& protocol, int64_t number);

/// Networks that are trained at once: of one length of epochs (whole or cut), those with SGD before those with Adam.
using Group = std::vector<Net>;

/// Networks 0 to nets - 1 in groups of at most `at_once`, in the order of their first networks.
std::vector<Group> group(const Protocol& protocol, int64_t nets, int64_t at_once);

/// A number that `seed` and `stream` alone decide, as good as random.
uint64_t mix(uint64_t seed, uint64_t stream);

}  // namespace examples
