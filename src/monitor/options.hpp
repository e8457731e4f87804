// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/monitor_options.hpp>

#include <functional>
#include <string>

namespace dynascope::monitor {

/// @throws std::invalid_argument naming the first option that makes no sense
void check(const MonitorOptions& options);

/// The run file's attribute `config`: {"monitor": all options, "parameters": {"all", "measured"}: how many numbers the
/// modules' parameters hold and how many of them are in weight layers, "user": the user's hyper-parameters}.
std::string config_json(const MonitorOptions& options, int64_t parameters, int64_t measured);

/// Steps that ask for a row, by the options every_n_steps and schedule.
Schedule schedule(const MonitorOptions& options);

/// Whether a path is to be measured, by the options include, exclude and select.
std::function<bool(const std::string& path)> path_filter(const MonitorOptions& options);

}  // namespace dynascope::monitor
