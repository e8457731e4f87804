// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/run_description.hpp>

#include <nlohmann/json.hpp>

#include <string>

namespace dynascope::cli {

/// How much of the modules' parameters is measured: numbers in "all" and "measured", null where the file does not say.
nlohmann::ordered_json parameters_json(const RunDescription& what);

/// "177800 of 178110 parameters (99.8 %)"; empty where the file does not say.
std::string parameters_text(const nlohmann::ordered_json& parameters);

/// How much of the network is in the graph: "share" of the weights (and biases) whose layers link node layers on both
/// sides, null where there are none; and by name, of what was skipped, "parameters" in no layer, "operators" that are
/// not understood, "outputs" that were not reached.
nlohmann::ordered_json placement_json(const RunDescription& what);

/// The same in one line; printable.
std::string placement_text(const nlohmann::ordered_json& placement);

}  // namespace dynascope::cli
