// SPDX-License-Identifier: BSD-3-Clause
// A run of very many rows takes no more memory or descriptors than a short one.
#include "nets.hpp"
#include "support/long_tests.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <unistd.h>
#include <vector>

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

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

TEST(Endurance, RowsOfManyStepsStreamInBoundedMemory) {
  const int64_t rows = test::long_tests() ? 1'000'000 : 40'000;
  const RunPath path("long.h5");
  Net net = make_net();
  Monitor monitor(net, MonitorOptions(path.string()).every_n_steps(1).histogram(Histogram::kOff));
  monitor.trace([&] { return net->forward(example()); });
  monitor.on_train_begin();
  Taken before;
  std::vector<double> seconds;  // of a thousand rows
  auto last = std::chrono::steady_clock::now();
  for (int64_t row = 1; row <= rows; ++row) {
    monitor.on_step_end();
    if (row % 1000 == 0) {
      const auto now = std::chrono::steady_clock::now();
      seconds.push_back(std::chrono::duration<double>(now - last).count());
      last = now;
    }
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
  EXPECT_LE(after.mebibytes - before.mebibytes, 4) << before.mebibytes << " MiB after a quarter of the rows";
  EXPECT_EQ(after.descriptors, before.descriptors);
  // Steps that wait for the writer take as long as it does; how long depends on what else the machine does.
  const auto quarter = static_cast<ptrdiff_t>(seconds.size() / 4);
  const double second = median({seconds.begin() + quarter, seconds.begin() + 2 * quarter});
  const double fourth = median({seconds.end() - quarter, seconds.end()});
  std::cout << rows << " rows: " << second * 1e3 << " us per step in the second quarter, " << fourth / second
            << " times that in the fourth; " << before.mebibytes << " MiB after the first, " << after.mebibytes
            << " MiB at the end\n";
  EXPECT_LE(fourth, 1.5 * second);
}

}  // namespace
}  // namespace dynascope
