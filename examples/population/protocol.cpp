// SPDX-License-Identifier: BSD-3-Clause
#include "protocol.hpp"

#include "initialiser.hpp"

#include <algorithm>

namespace examples {
namespace {

double fraction(uint64_t number) { return static_cast<double>(number >> 11) * 0x1p-53; }

int64_t below(uint64_t number, int64_t end) {
  return std::min(static_cast<int64_t>(fraction(number) * static_cast<double>(end)), end - 1);
}

}  // namespace

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014), twice: streams of neighbouring seeds have nothing in
// common.
uint64_t mix(uint64_t seed, uint64_t stream) {
  uint64_t value = seed;
  for (const uint64_t added : {uint64_t{0}, stream + 1}) {
    value += added * 0x9e3779b97f4a7c15U + 0x9e3779b97f4a7c15U;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
    value ^= value >> 31;
  }
  return value;
}

Net draw(const Protocol& protocol, int64_t number) {
  Net net;
  net.number = number;
  const uint64_t seed = mix(protocol.seed, static_cast<uint64_t>(number)) >> 1;
  net.seed = static_cast<int64_t>(seed);
  net.adam = protocol.optimizer == "adam" || (protocol.optimizer == "any" && below(mix(seed, 1), 2) == 1);
  net.epochs = protocol.least_epochs + below(mix(seed, 2), protocol.most_epochs - protocol.least_epochs + 1);
  net.cut = fraction(mix(seed, 3)) < protocol.cut_nets;
  const auto& names = initialiser_names();
  net.initialiser = protocol.init == "any" ? below(mix(seed, 4), static_cast<int64_t>(names.size()))
                                           : std::find(names.begin(), names.end(), protocol.init) - names.begin();
  return net;
}

std::vector<Group> group(const Protocol& protocol, int64_t nets, int64_t at_once) {
  std::vector<Group> groups;
  std::vector<Group> open(2);
  for (int64_t number = 0; number < nets; ++number) {
    const Net net = draw(protocol, number);
    Group& group = open[net.cut ? 1 : 0];
    group.push_back(net);
    if (static_cast<int64_t>(group.size()) == at_once) {
      groups.push_back(std::exchange(group, {}));
    }
  }
  for (Group& rest : open) {
    if (!rest.empty()) {
      groups.push_back(std::move(rest));
    }
  }
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a[0].number < b[0].number; });
  for (Group& group : groups) {
    std::stable_partition(group.begin(), group.end(), [](const Net& net) { return !net.adam; });
  }
  return groups;
}

}  // namespace examples
