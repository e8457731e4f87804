// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace dynascope::cli {

/// Five significant digits: 0.91234, 12.345, 1.2346e-07, nan.
std::string number(double value);

/// "0.84 s", "3 min 20 s", "2 h 5 min".
std::string duration(double seconds);

/// "64 x 28 x 28".
std::string shape(const std::vector<int64_t>& sizes);

/// `text` with control characters and malformed UTF-8 replaced by "?", so that a file cannot drive the terminal.
std::string printable(std::string_view text);

/// "conv1, conv2, fc"; of more than `most` names the first ones, and how many more there are.
std::string joined(const std::vector<std::string>& names, size_t most = std::numeric_limits<size_t>::max());

/// Columns that printable UTF-8 text takes, one per code point.
size_t display_width(std::string_view text);

/// One block character per value, at most `width` of them (evenly picked, the last value always), lowest to highest;
/// "x" where a value is not finite.
std::string sparkline(const std::vector<double>& values, size_t width);

/// `text` in bold or dimmed where `color`, else as it is.
std::string bold(const std::string& text, bool color);
std::string dim(const std::string& text, bool color);

}  // namespace dynascope::cli
