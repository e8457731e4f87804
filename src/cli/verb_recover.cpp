// SPDX-License-Identifier: BSD-3-Clause
// dynascope recover: a finished run file of one that was left behind, is still growing, or is to be archived.
#include "format.hpp"
#include "verb.hpp"

#include <dynascope/recover.hpp>

#include <CLI/CLI.hpp>

#include <memory>
#include <string>

namespace dynascope::cli {
namespace {

struct Paths {
  std::string run;
  std::string to;
  bool compress = false;
};

int make_copy(const Paths& paths, const Output& output) {
  const Recovered recovered = recover(paths.run, paths.to, RecoverOptions().compress(paths.compress));
  output.messages << "dynascope: " << recovered.rows << " rows and " << recovered.events << " events of "
                  << printable(paths.run) << " are in " << printable(paths.to);
  if (recovered.uncommitted > 0) {
    output.messages << "; " << recovered.uncommitted << " rows were not finished";
  }
  output.messages << '\n';
  if (!recovered.damage.empty()) {
    output.messages << "dynascope: the file is damaged, " << recovered.committed - recovered.rows
                    << " rows are lost: " << printable(recovered.damage) << '\n';
  }
  return recovered.damage.empty() ? 0 : 1;
}

}  // namespace

void add_recover(CLI::App& app, Job& job) {
  auto paths = std::make_shared<Paths>();
  CLI::App* verb = app.add_subcommand(
      "recover", "Make a finished run file of what a killed process left behind; RUN stays as it is");
  verb->add_option("RUN", paths->run, "Run or population file, whole, growing or left behind; only ever read")
      ->required()
      ->type_name("");
  verb->add_option("-o,--output", paths->to, "The new file; must not exist")->required()->type_name("FILE");
  verb->add_flag("--compress", paths->compress, "Compress it, without loss");
  verb->footer(
      "Exit status: 0 everything that the run had promised is there, 1 part of it is damaged and left out.\n\n"
      "Example:\n  dynascope recover --compress run.h5 -o whole.h5");
  verb->callback([paths, &job] {
    job.reads = paths->run;
    job.action = [paths](const Output& output) { return make_copy(*paths, output); };
  });
}

}  // namespace dynascope::cli
