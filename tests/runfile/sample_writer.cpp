// SPDX-License-Identifier: BSD-3-Clause
// Writes a sample run for foreign readers: sample_writer mlp|conv|empty|population PATH ROWS [live]
// With `live` it writes and flushes one row per line read from stdin, answers each with "row N", and closes at its end.
#include "sample_run.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/population_file.hpp>

#include <iostream>
#include <string>

namespace dt = dynascope::testing;

namespace {

// Answers each line of the input by `step`, which writes and flushes one more.
template <class Step>
void follow_input(int64_t rows, Step step) {
  std::string line;
  for (int64_t row = rows; std::getline(std::cin, line); ++row) {
    step(row);
    std::cout << "row " << row << std::endl;
  }
}

void write_population(const std::string& path, int64_t rows, bool live) {
  dynascope::PopulationWriter writer(path);
  const auto description = dt::sample_population();
  dt::SampleRows source(description, dynascope::RowLayout(description));
  writer.open(description);
  writer.write(dt::sample_members(source, 0, rows));
  writer.flush();
  if (live) {
    follow_input(rows, [&](int64_t row) {
      writer.write(dt::sample_members(source, row, 1));
      writer.flush();
    });
  }
  writer.close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: sample_writer mlp|conv|empty|population PATH ROWS [live]\n";
    return 2;
  }
  const std::string kind = argv[1];
  const bool live = argc > 4;
  if (kind == "population") {
    try {
      write_population(argv[2], std::stoll(argv[3]), live);
    } catch (const dynascope::Error& error) {
      std::cerr << error.what() << '\n';
      return 1;
    }
    return 0;
  }
  const auto run = kind == "mlp" ? dt::mlp_run() : kind == "conv" ? dt::conv_run() : dt::empty_run();
  try {
    dynascope::Hdf5Sink sink(argv[2]);
    dt::SampleRows source(run, dynascope::RowLayout(run));
    sink.open(run, source.layout());
    const int64_t rows = std::stoll(argv[3]);
    sink.write(source.rows(0, rows));
    sink.write(dynascope::Event{10, 0.5, dynascope::EventCode::kNonFinite, 3, "fc2: the first non-finite unit is 3"});
    sink.write(dynascope::Event{20, 1.5, dynascope::EventCode::kRowsDropped, 2, "two rows dropped – the disk is slow"});
    sink.flush();
    if (live) {
      follow_input(rows, [&](int64_t row) {
        sink.write(source.rows(row, 1));
        sink.flush();
      });
    }
    sink.close();
  } catch (const dynascope::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
