// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <ostream>
#include <string>

namespace CLI {
class App;
}

namespace dynascope::cli {

/// Where a verb writes to, and how.
struct Output {
  std::ostream& data;      ///< standard output
  std::ostream& messages;  ///< standard error
  bool terminal = false;   ///< data goes to a terminal: sparklines, tables cut to its width
  bool color = false;
  int width = 80;  ///< columns of the terminal

  /// To be called by what takes long and gets on: it then has the time that it had at its start, again.
  std::function<void()> got_on = [] {};
};

/// What the command line asked for; returns 0 fine or same, 1 different or violations found. Trouble is an exception.
using Action = std::function<int(const Output&)>;

/// What to do, and what it may cost.
struct Job {
  Action action;
  std::string reads;    ///< the file it reads, whose size decides how long that may take
  double interval = 0;  ///< seconds until `action` is repeated, for as long as it answers kAgain; 0: once
};

/// What a repeated action answers as long as there may be more to say.
constexpr int kAgain = 3;

/// Each verb adds its subcommand, which sets `job` when it is the one on the command line.
void add_info(CLI::App& app, Job& job);
void add_show(CLI::App& app, Job& job);
void add_watch(CLI::App& app, Job& job);
void add_validate(CLI::App& app, Job& job);
void add_recover(CLI::App& app, Job& job);
void add_export(CLI::App& app, Job& job);
void add_diff(CLI::App& app, Job& job);
void add_report(CLI::App& app, Job& job);
void add_help(CLI::App& app, Job& job);
void add_completion(CLI::App& app, Job& job);

}  // namespace dynascope::cli
