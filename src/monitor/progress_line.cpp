// SPDX-License-Identifier: BSD-3-Clause
#include "progress_line.hpp"

#include <algorithm>
#include <cstdio>

namespace dynascope::monitor {
namespace {

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

/// "0:07", "12:34", "3:04:05".
std::string duration(double seconds) {
  const auto total = static_cast<int64_t>(std::min(std::max(seconds, 0.0), 1e9));
  const int64_t hours = total / 3600;
  const int64_t minutes = total / 60 % 60;
  char text[48];
  if (hours > 0) {
    std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", static_cast<long long>(hours),
                  static_cast<long long>(minutes), static_cast<long long>(total % 60));
  } else {
    std::snprintf(text, sizeof(text), "%lld:%02lld", static_cast<long long>(minutes),
                  static_cast<long long>(total % 60));
  }
  return text;
}

std::string bar(double fraction) {
  constexpr int kCells = 20;
  const int full = static_cast<int>(fraction * kCells);
  return "[" + std::string(static_cast<size_t>(full), '#') + std::string(static_cast<size_t>(kCells - full), '.') + "]";
}

std::string of_total(int64_t done, int64_t total) {
  return std::to_string(done) + (total > 0 ? "/" + std::to_string(total) : "");
}

}  // namespace

double Progress::fraction() const {
  if (epochs <= 0) {
    return -1;
  }
  const double inside =
      steps_per_epoch > 0 ? static_cast<double>(steps_in_epoch) / static_cast<double>(steps_per_epoch) : 0;
  return std::min((static_cast<double>(epochs_done) + std::min(inside, 1.0)) / static_cast<double>(epochs), 1.0);
}

std::string progress_line(const Progress& progress, int64_t width) {
  const double fraction = progress.fraction();
  std::string line = "epoch " + of_total(progress.epochs_done, progress.epochs);
  if (fraction >= 0) {
    line += " " + bar(fraction);
  }
  const bool steps = progress.steps_done > 0 || progress.steps_per_epoch > 0;
  if (steps || progress.epochs_done == 0) {
    line += " step " + of_total(progress.steps_in_epoch, progress.steps_per_epoch);
  }
  if (steps && progress.seconds > 0) {
    line += ", " + number("%.4g", static_cast<double>(progress.steps_done) / progress.seconds) + " steps/s";
  }
  if (fraction > 0 && fraction < 1) {
    line += ", " + duration(progress.seconds * (1 - fraction) / fraction) + " left";
  } else if (fraction >= 1) {
    line += ", " + duration(progress.seconds) + " in all";
  }
  for (const auto& [key, value] : progress.scalars) {
    line += ", " + key + " " + number("%.4g", value);
  }
  return line.substr(0, static_cast<size_t>(std::max<int64_t>(width, 0)));
}

}  // namespace dynascope::monitor
