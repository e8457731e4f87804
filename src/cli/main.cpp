// SPDX-License-Identifier: BSD-3-Clause
// The command line: reads run files, needs no LibTorch, starts in milliseconds. One file per verb.
#include "guard.hpp"
#include "verb.hpp"

#include <dynascope/version.hpp>

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <string>
#include <unistd.h>

namespace {

bool wants_color(const std::string& choice, bool terminal) {
  const char* no_color = std::getenv("NO_COLOR");
  return choice == "always" || (choice == "auto" && terminal && (no_color == nullptr || *no_color == '\0'));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Reads what dynascope recorded while a network trained: node strengths and layer fluctuations.\n"
      "Works on finished runs, on runs that are still training and on what a killed process left behind.",
      "dynascope");
  app.footer("Exit status: 0 fine, 1 different or violations found, 2 trouble (usage, unreadable file).");
  app.set_version_flag("--version", "dynascope " DYNASCOPE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  std::string color = "auto";
  app.add_option("--color", color, "Colour: auto (on a terminal, unless NO_COLOR is set), always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->type_name("WHEN");

  dynascope::cli::Job job;
  dynascope::cli::add_info(app, job);
  dynascope::cli::add_show(app, job);
  dynascope::cli::add_watch(app, job);
  dynascope::cli::add_export(app, job);
  dynascope::cli::add_diff(app, job);
  dynascope::cli::add_report(app, job);
  dynascope::cli::add_validate(app, job);
  dynascope::cli::add_recover(app, job);
  dynascope::cli::add_help(app, job);
  dynascope::cli::add_completion(app, job);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : dynascope::cli::kTrouble;
  }
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  return dynascope::cli::run_guarded(job, wants_color(color, terminal), terminal);
}
