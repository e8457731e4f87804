// SPDX-License-Identifier: BSD-3-Clause
// Reads all of a run file: sample_reader PATH. Exits with 0, or with 1 and one line that says what is wrong with it.
#include <dynascope/error.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_file.hpp>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: sample_reader PATH\n";
    return 2;
  }
  try {
    dynascope::RunFile file(argv[1]);
    file.refresh();
    file.row_index();
    file.events();
    for (const auto& key : file.description().scalars) {
      file.scalar(key);
    }
    const dynascope::RowLayout layout(file.description());
    for (const auto& span : layout.spans()) {
      file.read(span.path, 0, file.rows());
    }
    for (size_t layer = 0; layer < file.description().node_layers.size() && file.rows() > 0; ++layer) {
      file.unit_map(layer, file.rows() - 1);
    }
    std::cout << "rows " << file.rows() << '\n';
  } catch (const dynascope::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
