// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "architecture.hpp"
#include "protocol.hpp"
#include "train/data.hpp"

#include <dynascope/population_file.hpp>
#include <dynascope/run_description.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace examples {

/// What is stored of each member beside what is measured, in this order: on the test images, then how it was trained.
inline const std::vector<std::string> kMemberScalars{"accuracy", "loss", "adam", "train_images", "initialiser"};

/// The members of one group, epoch by epoch. `member.values` is null: blocks[i] holds those of member i.
struct Trained {
  std::vector<dynascope::Member> members;
  std::vector<std::vector<std::byte>> blocks;
};

/// Trains groups of networks. Copies nothing: the data must live as long.
class Trainer {
 public:
  Trainer(Protocol protocol, const DataSet& data);

  const std::vector<Layer>& layers() const noexcept { return layers_; }

  /// What all members have in common; histograms off.
  dynascope::RunDescription describe() const;

  /// Trains the networks of a group, each for its number of epochs, and measures all of them after each.
  ///
  /// The order of images depends on the protocol's seed, the epoch and the length of the cut, not on the network: all
  /// networks of a group then read the same batch, which makes their first layer one product, and a network learns the
  /// same whichever others are trained beside it.
  /// @param description  from describe(), perhaps with histograms
  /// @param on_epoch     called with the number of members that an epoch made
  Trained train(
      const Group& group, const dynascope::RunDescription& description,
      const std::function<void(int64_t)>& on_epoch = [](int64_t) {}) const;

  /// The training images in the order of an epoch, from 1.
  std::vector<at::Tensor> batches_of(int64_t epoch, bool cut) const;

  /// Images that a network sees in an epoch.
  int64_t images(bool cut) const;

  const LabelledImages& train_data() const noexcept { return data_.train; }
  const LabelledImages& test_data() const noexcept { return data_.test; }
  const Protocol& protocol() const noexcept { return protocol_; }
  const dynascope::Network& network() const noexcept { return network_; }

 private:
  Protocol protocol_;
  const DataSet& data_;
  std::vector<Layer> layers_;
  dynascope::Network network_;
};

/// `description` with histograms of `bins` bins between edges common to all members, linear over +- twice the median,
/// over the members of `pilot`, of a weight layer's largest absolute entry.
///
/// The edges are chosen before the first member is written, from a group that was trained to its end: start values say
/// little of where an optimizer takes them, and with the median a network that diverges stretches no axis. Entries
/// beyond are counted in the under- and overflow bins.
dynascope::RunDescription with_histograms(dynascope::RunDescription description, const Trained& pilot, int64_t bins);

}  // namespace examples
