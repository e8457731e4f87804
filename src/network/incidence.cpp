// SPDX-License-Identifier: BSD-3-Clause
#include "incidence.hpp"

#include <dynascope/error.hpp>

#include <map>
#include <string>
#include <utility>

namespace dynascope::network {
namespace {

// The coordinate that `tap` meets from `fine` when the coarse side has `coarse` coordinates, or -1: the side that a
// stride thins out, seen from the other one.
int64_t coarse_coordinate(const ConvolutionAxis& axis, int64_t coarse, int64_t fine, int64_t tap) {
  const int64_t position = fine + axis.padding - axis.dilation * tap;
  if (position < 0 || position % axis.stride != 0 || position / axis.stride >= coarse) {
    return -1;
  }
  return position / axis.stride;
}

int64_t fine_coordinate(const ConvolutionAxis& axis, int64_t fine, int64_t coarse, int64_t tap) {
  const int64_t position = coarse * axis.stride - axis.padding + axis.dilation * tap;
  return position >= 0 && position < fine ? position : -1;
}

bool resamples(const Resampling* resampling) { return resampling != nullptr && !resampling->coefficients.empty(); }

void require_fit(const Resampling& resampling, int64_t produced) {
  if (resampling.produced != produced ||
      static_cast<int64_t>(resampling.coefficients.size()) != resampling.produced * resampling.seen) {
    throw Error("a resampling must start from the " + std::to_string(produced) +
                " coordinates that the layer writes, got one of " + std::to_string(resampling.produced) + " to " +
                std::to_string(resampling.seen) + " with " + std::to_string(resampling.coefficients.size()) +
                " coefficients");
  }
}

}  // namespace

std::vector<double> in_coefficients(const ConvolutionAxis& axis, bool transposed, const Resampling* resampling,
                                    Padding padding) {
  const auto linked = [&](int64_t tap, int64_t output) {
    if (transposed) {
      return coarse_coordinate(axis, axis.input, output, tap) >= 0;
    }
    return padding == Padding::kAllTaps || fine_coordinate(axis, axis.input, output, tap) >= 0;
  };
  const bool resampled = resamples(resampling);
  if (resampled) {
    require_fit(*resampling, axis.output);
  }
  const int64_t seen = resampled ? resampling->seen : axis.output;
  std::vector<double> table(static_cast<size_t>(axis.kernel * seen), 0.0);
  for (int64_t tap = 0; tap < axis.kernel; ++tap) {
    double* row = table.data() + tap * seen;
    for (int64_t output = 0; output < axis.output; ++output) {
      if (!linked(tap, output)) {
        continue;
      }
      if (!resampled) {
        row[output] = 1.0;
        continue;
      }
      for (int64_t y = 0; y < seen; ++y) {
        row[y] += resampling->coefficients[static_cast<size_t>(y * axis.output + output)];
      }
    }
  }
  return table;
}

std::vector<double> out_coefficients(const ConvolutionAxis& axis, bool transposed, const Resampling* resampling) {
  std::vector<double> of_output(static_cast<size_t>(axis.output), 1.0);
  if (resamples(resampling)) {
    require_fit(*resampling, axis.output);
    for (int64_t output = 0; output < axis.output; ++output) {
      double sum = 0.0;
      for (int64_t y = 0; y < resampling->seen; ++y) {
        sum += resampling->coefficients[static_cast<size_t>(y * axis.output + output)];
      }
      of_output[static_cast<size_t>(output)] = sum;
    }
  }
  std::vector<double> table(static_cast<size_t>(axis.kernel * axis.input), 0.0);
  for (int64_t tap = 0; tap < axis.kernel; ++tap) {
    for (int64_t input = 0; input < axis.input; ++input) {
      const int64_t output = transposed ? fine_coordinate(axis, axis.output, input, tap)
                                        : coarse_coordinate(axis, axis.output, input, tap);
      if (output >= 0) {
        table[static_cast<size_t>(tap * axis.input + input)] = of_output[static_cast<size_t>(output)];
      }
    }
  }
  return table;
}

std::vector<double> constant_coefficients(int64_t size, const Resampling* resampling) {
  if (!resamples(resampling)) {
    return std::vector<double>(static_cast<size_t>(size), 1.0);
  }
  require_fit(*resampling, size);
  std::vector<double> table(static_cast<size_t>(resampling->seen), 0.0);
  for (int64_t y = 0; y < resampling->seen; ++y) {
    for (int64_t output = 0; output < size; ++output) {
      table[static_cast<size_t>(y)] += resampling->coefficients[static_cast<size_t>(y * size + output)];
    }
  }
  return table;
}

Classes classes_of(int64_t size, const std::vector<std::vector<double>>& tables, bool apart) {
  Classes classes;
  classes.of.reserve(static_cast<size_t>(size));
  std::map<std::vector<double>, int32_t> known;
  for (int64_t coordinate = 0; coordinate < size; ++coordinate) {
    std::vector<double> column;
    if (apart) {
      column.push_back(static_cast<double>(coordinate));
    }
    for (const auto& table : tables) {
      for (size_t entry = static_cast<size_t>(coordinate); entry < table.size(); entry += static_cast<size_t>(size)) {
        column.push_back(table[entry]);
      }
    }
    const auto [position, inserted] = known.try_emplace(std::move(column), static_cast<int32_t>(classes.first.size()));
    if (inserted) {
      classes.first.push_back(coordinate);
      classes.size.push_back(0);
    }
    classes.of.push_back(position->second);
    ++classes.size[static_cast<size_t>(position->second)];
  }
  return classes;
}

}  // namespace dynascope::network
