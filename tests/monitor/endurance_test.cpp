// SPDX-License-Identifier: BSD-3-Clause
// A run of very many rows takes no more memory or descriptors than a short one.
#include "nets.hpp"
#include "support/long_tests.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <unistd.h>

namespace dynascope {
namespace {

struct Taken {
  double mebibytes = 0;
  int64_t descriptors = 0;
};

Taken taken() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0, resident = 0;
  file >> pages >> resident;
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return {static_cast<double>(resident * sysconf(_SC_PAGESIZE)) / (1 << 20), std::distance(begin(open), end(open))};
}

TEST(Endurance, RowsOfManyStepsStreamInBoundedMemory) {
  const int64_t rows = test::long_tests() ? 1'000'000 : 40'000;
  const RunPath path("long.h5");
  Net net = make_net();
  Monitor monitor(net, MonitorOptions(path.string()).every_n_steps(1).histogram(Histogram::kOff));
  monitor.trace([&] { return net->forward(example()); });
  monitor.on_train_begin();
  Taken before;
  for (int64_t row = 1; row <= rows; ++row) {
    monitor.on_step_end();
    if (row == rows / 4) {
      before = taken();
    }
  }
  const Taken after = taken();
  monitor.on_train_end();
  const MonitorStatus status = monitor.status();
  EXPECT_EQ(status.errors, 0) << status.first_error;
  EXPECT_EQ(status.rows_written, rows + 1);
  EXPECT_EQ(status.rows_dropped, 0);
  // HDF5 fills its caches in the first hundred thousand rows; later it keeps some hundred bytes per chunk.
  EXPECT_LE(after.mebibytes - before.mebibytes, test::long_tests() ? 8 : 16)
      << before.mebibytes << " MiB after a quarter of the rows";
  EXPECT_EQ(after.descriptors, before.descriptors);
}

}  // namespace
}  // namespace dynascope
