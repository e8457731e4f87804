// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <ostream>

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
};

/// What the command line asked for; returns 0 fine or same, 1 different or violations found. Trouble is an exception.
using Action = std::function<int(const Output&)>;

/// Each verb adds its subcommand, which sets `action` when it is the one on the command line.
void add_info(CLI::App& app, Action& action);
void add_show(CLI::App& app, Action& action);

}  // namespace dynascope::cli
