// SPDX-License-Identifier: BSD-3-Clause
// dynascope diff: what two runs do not have in common: definitions, layers, rows, then values.
#include "format.hpp"
#include "run_comparison.hpp"
#include "run_view.hpp"
#include "table.hpp"
#include "verb.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace dynascope::cli {
namespace {

struct DiffOptions {
  std::string a;
  std::string b;
  Tolerance tolerance;
  bool quiet = false;
  bool json = false;
};

void print_rows(const Output& output, const char* where, const RunRows& index, const std::vector<int64_t>& rows) {
  if (rows.empty()) {
    return;
  }
  const auto first = static_cast<size_t>(rows.front());
  output.data << rows.size() << (rows.size() == 1 ? " row is" : " rows are") << " only in " << where << ", "
              << (rows.size() == 1 ? "" : "the first ") << "of epoch " << index.epoch[first] << ", step "
              << index.step[first] << '\n';
}

void print_text(const Output& output, const RunComparison& found) {
  constexpr size_t kLayersNamed = 3;
  for (const std::string& line : found.definitions) {
    output.data << printable(line) << '\n';
  }
  print_rows(output, "A", found.index_a, found.only_a);
  print_rows(output, "B", found.index_b, found.only_b);
  if (found.metrics.empty()) {
    return;
  }
  Table table;
  table.column("metric", Align::kLeft);
  table.column("different", Align::kRight);
  table.column("of", Align::kRight);
  table.column("first epoch", Align::kRight);
  table.column("step", Align::kRight);
  table.column("largest |A-B|", Align::kRight);
  table.column("A", Align::kRight);
  table.column("B", Align::kRight);
  table.column("in", Align::kLeft);
  for (const MetricDifference& metric : found.metrics) {
    table.row({metric.metric, std::to_string(metric.different), std::to_string(metric.compared),
               std::to_string(metric.first_epoch), std::to_string(metric.first_step), number(metric.largest),
               number(metric.largest_a), number(metric.largest_b), printable(joined(metric.layers, kLayersNamed))});
  }
  table.print(output.data, output.color, 1, output.terminal ? static_cast<size_t>(output.width) : 0);
}

void print_as_json(const Output& output, const DiffOptions& options, const RunComparison& found) {
  nlohmann::ordered_json json{{"a", options.a}, {"b", options.b}, {"same", found.same()}};
  json["definitions"] = found.definitions;
  json["rows"] = {{"common", found.rows.size()}, {"only_a", found.only_a}, {"only_b", found.only_b}};
  json["metrics"] = nlohmann::ordered_json::array();
  for (const MetricDifference& metric : found.metrics) {
    json["metrics"].push_back({{"metric", metric.metric},
                               {"compared", metric.compared},
                               {"different", metric.different},
                               {"layers", metric.layers},
                               {"largest", metric.largest},
                               {"largest_a", metric.largest_a},
                               {"largest_b", metric.largest_b},
                               {"first_epoch", metric.first_epoch},
                               {"first_step", metric.first_step}});
  }
  print_json(output.data, json);
}

int diff(const DiffOptions& options, const Output& output) {
  const RunComparison found = compare_runs(open_run(options.a), open_run(options.b), options.tolerance, output.got_on);
  if (options.json) {
    print_as_json(output, options, found);
  } else if (!options.quiet) {
    print_text(output, found);
  }
  return found.same() ? 0 : 1;
}

}  // namespace

void add_diff(CLI::App& app, Job& job) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* verb = app.add_subcommand("diff", "Compare two runs: definitions, layers, rows, then every value");
  verb->add_option("A", options->a, "Run file")->required()->type_name("");
  verb->add_option("B", options->b, "Run file to compare it with")->required()->type_name("");
  verb->add_option("--atol", options->tolerance.absolute, "Values are the same within this distance (default: 0)")
      ->check(CLI::NonNegativeNumber)
      ->type_name("X");
  verb->add_option("--rtol", options->tolerance.relative, "... or within this share of B's value (default: 0)")
      ->check(CLI::NonNegativeNumber)
      ->type_name("Y");
  verb->add_flag("-q,--quiet", options->quiet, "Print nothing");
  verb->add_flag("--json", options->json, "Print JSON");
  verb->footer(
      "Rows are the same row when step and epoch are. Times, costs, events and who recorded the run make no\n"
      "difference; NaN is the same as NaN.\n"
      "Exit status: 0 the same, 1 different, 2 trouble.\n\n"
      "Example:\n  dynascope diff before.h5 after.h5 --rtol 1e-6");
  verb->callback([options, &job] {
    job.reads = options->a;
    job.action = [options](const Output& output) { return diff(*options, output); };
  });
}

}  // namespace dynascope::cli
