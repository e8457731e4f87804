// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/error.hpp>

namespace dynascope {

Error::~Error() = default;

}  // namespace dynascope
