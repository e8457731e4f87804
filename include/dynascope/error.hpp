// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>

#include <stdexcept>

namespace dynascope {

/// What this library throws: the message says what was expected, what was got, and what to do about it.
///
/// A wrong argument (an empty name, a negative interval) is `std::invalid_argument` instead.
class DYNASCOPE_RUNFILE_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~Error() override;
};

}  // namespace dynascope
