// SPDX-License-Identifier: BSD-3-Clause
#include "format.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace dynascope::cli {
namespace {

template <typename... Values>
std::string formatted(const char* pattern, Values... values) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, pattern, values...);
  return buffer;
}

size_t sequence_length(unsigned char lead) {
  return lead < 0x80                   ? 1
         : lead >= 0xc2 && lead < 0xe0 ? 2
         : lead >= 0xe0 && lead < 0xf0 ? 3
         : lead >= 0xf0 && lead < 0xf5 ? 4
                                       : 0;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::string number(double value) { return std::isnan(value) ? "nan" : formatted("%#.5g", value); }

std::string duration(double seconds) {
  if (!(seconds >= 0)) {
    return "unknown";
  }
  if (seconds < 60) {
    return formatted("%.3g s", seconds);
  }
  const double minutes = std::floor(seconds / 60);
  return minutes < 60 ? formatted("%.0f min %.0f s", minutes, std::floor(seconds - 60 * minutes))
                      : formatted("%.0f h %.0f min", std::floor(minutes / 60), std::fmod(minutes, 60));
}

std::string shape(const std::vector<int64_t>& sizes) {
  std::string text;
  for (const int64_t size : sizes) {
    text += (text.empty() ? "" : " x ") + std::to_string(size);
  }
  return text;
}

std::string printable(std::string_view text) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = sequence_length(lead);
    // C1 controls (U+0080 to U+009F, that is C2 80 to C2 9F) drive some terminals.
    bool good = length > 0 && i + length <= text.size() && lead >= ' ' && lead != 0x7f &&
                !(lead == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0);
    for (size_t k = 1; good && k < length; ++k) {
      good = is_continuation(text[i + k]);
    }
    clean += good ? text.substr(i, length) : "?";
    i += good ? length : 1;
  }
  return clean;
}

std::string joined(const std::vector<std::string>& names, size_t most) {
  std::string list;
  for (size_t i = 0; i < names.size() && i < most; ++i) {
    list += (i > 0 ? ", " : "") + names[i];
  }
  return names.size() > most ? list + ", " + std::to_string(names.size() - most) + " more" : list;
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string sparkline(const std::vector<double>& values, size_t width) {
  static const char* const kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  double low = HUGE_VAL;
  double high = -HUGE_VAL;
  for (const double value : values) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  const size_t count = std::min(values.size(), width);
  std::string line;
  for (size_t i = 0; i < count; ++i) {
    const double value = values[(i + 1) * values.size() / count - 1];
    const double place = high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0;
    line += std::isfinite(value) ? kBlocks[std::clamp(static_cast<int>(place * 8), 0, 7)] : "x";
  }
  return line;
}

std::string bold(const std::string& text, bool color) { return color ? "\x1b[1m" + text + "\x1b[0m" : text; }

std::string dim(const std::string& text, bool color) { return color ? "\x1b[2m" + text + "\x1b[0m" : text; }

}  // namespace dynascope::cli
