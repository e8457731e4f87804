// SPDX-License-Identifier: BSD-3-Clause
// dynascope export: the values themselves, row by row, for other programs. Rows stream through: only one block of them
// is in memory, however large the result is.
#include "array_writer.hpp"
#include "exported.hpp"
#include "run_view.hpp"
#include "target_file.hpp"
#include "verb.hpp"

#include <dynascope/error.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace dynascope::cli {
namespace {

constexpr int64_t kValuesPerBlock = int64_t{1} << 20;

struct ExportOptions {
  std::string path;
  std::string metric;
  std::vector<std::string> layers;
  std::string epochs;
  std::string format;
  std::string to = "-";
  bool expand = false;
};

std::string format_of(const ExportOptions& options) {
  if (!options.format.empty()) {
    return options.format;
  }
  const std::string extension = std::filesystem::path(options.to).extension().string();
  for (const char* known : {"csv", "npy", "json"}) {
    if (extension == std::string(".") + known) {
      return known;
    }
  }
  throw Error("say with --format what to write: csv, npy or json");
}

std::vector<int64_t> chosen_rows(const RunRows& index, const EpochRange& range) {
  std::vector<int64_t> rows;
  for (size_t row = 0; row < index.epoch.size(); ++row) {
    if (index.epoch[row] >= range.first && index.epoch[row] <= range.last) {
      rows.push_back(static_cast<int64_t>(row));
    }
  }
  return rows;
}

int write_out(const ExportOptions& options, const Output& output) {
  const std::string format = format_of(options);
  const EpochRange range = parse_epochs(options.epochs);
  const RunFile run = open_run(options.path);
  const RunRows index = run.row_index();
  const Exported what = find_exported(run, options.path, options.metric, options.layers, options.expand);
  const ExportedRows chosen{options.path, index, chosen_rows(index, range)};
  const auto& rows = chosen.rows;

  const int64_t width = values_per_row(what);
  const int64_t at_once = std::max<int64_t>(1, kValuesPerBlock / std::max<int64_t>(1, width));
  TargetFile to(options.to);
  const auto writer = make_writer(format, chosen, what, to);
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin + 1;
    while (end < rows.size() && rows[end] == rows[end - 1] + 1 && static_cast<int64_t>(end - begin) < at_once) {
      ++end;
    }
    const auto values = read_exported(run, what, rows[begin], static_cast<int64_t>(end - begin));
    for (size_t row = 0; row < end - begin; ++row) {
      writer->row(values.data() + row * static_cast<size_t>(width));
    }
    output.got_on();
    begin = end;
  }
  writer->finish();
  to.commit();
  return 0;
}

}  // namespace

void add_export(CLI::App& app, Job& job) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* verb =
      app.add_subcommand("export", "Write values of a run as CSV, NPY or JSON, every row, to the last bit");
  verb->add_option("RUN", options->path, "Run file")->required()->type_name("");
  verb->add_option("--metric", options->metric, "What to write, see below")->required()->type_name("M");
  verb->add_option("--layer", options->layers, "Only this layer; may be given several times for values per layer")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_flag("--expand", options->expand, "Full unit maps: a value for every unit of a compressed layer");
  verb->add_option("--epochs", options->epochs, "Rows of epochs A to B inclusive; A: and :B are open")
      ->type_name("A:B");
  verb->add_option("--format", options->format, "csv, npy or json (default: as FILE ends)")
      ->check(CLI::IsMember({"csv", "npy", "json"}))
      ->type_name("FORMAT");
  verb->add_option("-o,--output", options->to, "File to write or to replace; - or none: standard output")
      ->type_name("FILE");
  verb->footer("Metrics:\n" + metric_help() +
               "  histogram      links: entries per bin, under- and overflow first and last\n"
               "  strength       nodes: of every unit of one --layer; in_strength and out_strength where recorded\n"
               "  row_sum        links: of every row of one --layer that is not in the graph; column_sum likewise\n"
               "  scalars/KEY    the user's values, for example scalars/loss\n"
               "  parameters/N   the values of parameter N, where recorded\n\n"
               "Example:\n  dynascope export run.h5 --metric strength --layer conv1 --expand -o conv1.npy");
  verb->callback([options, &job] {
    job.reads = options->path;
    job.action = [options](const Output& output) { return write_out(*options, output); };
  });
}

}  // namespace dynascope::cli
