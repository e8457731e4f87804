// SPDX-License-Identifier: BSD-3-Clause
// dynascope validate: every rule of docs/run-file.md or docs/population-file.md, a line per rule that the file breaks.
#include "format.hpp"
#include "run_view.hpp"
#include "verb.hpp"

#include <dynascope/validate.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <string>

namespace dynascope::cli {
namespace {

struct ValidateOptions {
  std::string path;
  bool json = false;
};

int report(const ValidateOptions& options, const Output& output) {
  const auto violations = validate(options.path);
  if (options.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Violation& violation : violations) {
      list.push_back({{"object", violation.object}, {"message", violation.message}});
    }
    print_json(output.data, {{"run", options.path}, {"valid", violations.empty()}, {"violations", list}});
  } else {
    for (const Violation& violation : violations) {
      output.data << printable(violation.object) << ": " << printable(violation.message) << '\n';
    }
  }
  return violations.empty() ? 0 : 1;
}

}  // namespace

void add_validate(CLI::App& app, Job& job) {
  auto options = std::make_shared<ValidateOptions>();
  CLI::App* verb = app.add_subcommand(
      "validate", "Check a run or population file against its schema: a line per rule that it breaks");
  verb->add_option("RUN", options->path, "Run or population file, finished or not")->required()->type_name("");
  verb->add_flag("--json", options->json, "Print JSON");
  verb->footer(
      "Exit status: 0 valid, 1 rules are broken, 2 no such file at all.\n\n"
      "Example:\n  dynascope validate run.h5");
  verb->callback([options, &job] {
    job.reads = options->path;
    job.action = [options](const Output& output) { return report(*options, output); };
  });
}

}  // namespace dynascope::cli
