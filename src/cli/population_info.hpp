// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "verb.hpp"

#include <string>

namespace dynascope::cli {

bool is_population(const std::string& path);

/// dynascope info of a population file; returns the exit status.
int print_population(const std::string& path, bool json, const Output& output);

}  // namespace dynascope::cli
