// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "data.hpp"

#include <cstdint>

namespace examples {

/// A text made with `seed`, sums in words ("seven plus five is twelve."), as windows of characters: small, free of
/// rights, and easy to begin and hard to finish, since the last word has to be computed.
///
/// @return inputs int64 (N, length), character numbers; labels int64 (N, length), the characters that follow;
/// `classes` is how many different characters there are
DataSet make_text(uint64_t seed);

}  // namespace examples
