// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/network.hpp>

#include <cstdint>
#include <vector>

namespace dynascope::monitor {

/// Which weights and biases of a network are its parameters, or views of them.
///
/// A parameter that moves takes its name along but not its views: those still show the memory that it left.
class Views {
 public:
  explicit Views(const Network& network);

  /// Makes every weight and bias of `network` anew from its parameters as they are now.
  /// @throws Error when a view cannot be made of a parameter that has other strides now
  void renew(Network& network) const;

 private:
  struct View {
    size_t layer;
    bool bias;
    size_t parameter;
    bool whole;  ///< the parameter itself
    std::vector<int64_t> sizes, strides, parameter_strides;
    int64_t offset;  ///< from the parameter's first element
  };

  void add(const Network& network, size_t layer, bool bias);

  std::vector<View> views_;
};

}  // namespace dynascope::monitor
