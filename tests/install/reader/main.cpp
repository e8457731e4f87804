// SPDX-License-Identifier: BSD-3-Clause
// Opens the run file of the loop project; the version header belongs to both libraries.
#include <dynascope/error.hpp>
#include <dynascope/run_file.hpp>
#include <dynascope/version.hpp>

#include <iostream>

int main(int, char** arguments) {
  try {
    const dynascope::RunFile run(arguments[1]);
    std::cout << DYNASCOPE_VERSION << ": " << run.rows() << " rows, " << run.description().node_layers.size()
              << " node layers\n";
    if (run.rows() != 3 || run.description().node_layers.size() != 3 || run.scalar("loss").size() != 3) return 1;
  } catch (const dynascope::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  // The exception crosses the library's border, shared or not.
  try {
    dynascope::RunFile("no-such-file.h5");
  } catch (const dynascope::Error&) {
    return 0;
  }
  return 1;
}
