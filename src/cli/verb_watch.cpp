// SPDX-License-Identifier: BSD-3-Clause
// dynascope watch: the table of show, while training writes.
//
// Every look is a process of its own (guard.hpp) that opens the file anew, so that a run which is resumed, and whose
// file is then another, is followed too. What has been shown is remembered in memory that these processes share.
#include "epoch_table.hpp"
#include "format.hpp"
#include "run_view.hpp"
#include "verb.hpp"

#include <dynascope/error.hpp>

#include <CLI/CLI.hpp>

#include <memory>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace dynascope::cli {
namespace {

/// What earlier looks have shown.
struct Seen {
  size_t lines = 0;
  int64_t rows = -1;
};

struct WatchOptions {
  Shown shown;
  double interval = 1;
  Seen* seen = nullptr;
};

Seen* shared_memory() {
  void* memory = mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error("there is not enough memory to watch a run");
  }
  return new (memory) Seen;
}

std::vector<int64_t> closed_epochs(const RunRows& index) {
  std::vector<int64_t> rows;
  for (size_t row = 0; row < index.epoch_end.size(); ++row) {
    if (index.epoch_end[row]) {
      rows.push_back(static_cast<int64_t>(row));
    }
  }
  return rows;
}

// A terminal shows all epochs anew whenever there are more rows, the one under way included; a pipe gets a line for
// every epoch that was closed.
void print_news(const RunFile& run, const WatchOptions& options, const Output& output) {
  Seen& seen = *options.seen;
  if (run.rows() == seen.rows) {
    return;
  }
  const RunRows index = run.row_index();
  const auto rows = output.terminal ? rows_of_epochs(index, 0, INT64_MAX) : closed_epochs(index);
  auto columns = read_layers(run, options.shown, rows);
  const auto scalars = read_scalars(run, rows);
  columns.insert(columns.end(), scalars.begin(), scalars.end());
  std::ostringstream text;
  print_epochs(Output{text, output.messages, output.terminal, output.color, output.width}, index, rows, columns);
  if (output.terminal) {
    output.data << "\x1b[H\x1b[2J" << text.str();
  } else if (!rows.empty()) {
    std::istringstream lines(text.str());
    size_t number = 0;
    for (std::string line; std::getline(lines, line); ++number) {
      if (number >= seen.lines) {
        output.data << line << '\n';
      }
    }
    seen.lines = number;
  }
  seen.rows = run.rows();
}

int look(const WatchOptions& options, const Output& output) {
  RunFile run = open_run(options.shown.path);
  // The writer first: one that ends in between has committed everything before.
  const bool alive = run.has_writer();
  run.refresh();
  print_news(run, options, output);
  if (!run.in_progress()) {
    return 0;
  }
  if (!alive) {
    output.messages << "dynascope: the process that wrote " << printable(options.shown.path)
                    << " ended without closing it; " << run.rows()
                    << " rows are there ('dynascope recover' makes a finished file of them)\n";
    return 1;
  }
  return kAgain;
}

}  // namespace

void add_watch(CLI::App& app, Job& job) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* verb = app.add_subcommand("watch", "The table of show, live, until the run ends");
  add_shown(*verb, options->shown);
  verb->add_option("--interval", options->interval, "Seconds between two looks (default: 1)")
      ->check(CLI::Range(0.01, 86400.0))
      ->type_name("S");
  verb->footer(
      "Exit status: 0 the run has ended, 1 the process that wrote it was killed.\n\n"
      "Example:\n  dynascope watch run.h5 --metric norm --interval 5");
  verb->callback([options, &job] {
    options->seen = shared_memory();
    job.reads = options->shown.path;
    job.interval = options->interval;
    job.action = [options](const Output& output) { return look(*options, output); };
  });
}

}  // namespace dynascope::cli
