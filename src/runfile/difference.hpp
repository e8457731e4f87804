// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/run_description.hpp>

#include <string>

namespace dynascope {

/// The first thing in which rows of two runs could not stand in one file: the network, the options that define the
/// metrics, what is stored. Says what it is in either; empty where there is none. Where and by whom a run was recorded
/// may differ.
std::string first_difference(const RunDescription& in_file, const RunDescription& now);

}  // namespace dynascope
