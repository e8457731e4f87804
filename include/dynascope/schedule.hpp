// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace dynascope {

/// Which optimizer steps ask for a row, beside epoch ends. Parts add up: a step asks when any of them does.
///
/// ```cpp
/// Schedule().every(1, 100, 200).every(50, 201)   // steps 100 to 200 one by one, then every 50th
/// Schedule().log_spaced(10)                      // 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, ...
/// Schedule().when([&](int64_t step) { return step < 10 || loss_jumped; })
/// ```
/// Steps are those of the optimizer, counted from 1 by Monitor::on_step_end; with gradient accumulation several batches
/// make one.
class DYNASCOPE_API Schedule {
 public:
  /// The multiples of `n` among the steps `first` to `last`, both included.
  /// @throws std::invalid_argument unless n >= 1 and 1 <= first <= last
  Schedule& every(int64_t n, int64_t first = 1, int64_t last = std::numeric_limits<int64_t>::max());

  /// Steps that are evenly spaced on a logarithmic axis: 10^(k / per_decade), rounded, k = 0, 1, ..., each once.
  /// @throws std::invalid_argument unless per_decade >= 1
  Schedule& log_spaced(int64_t per_decade);

  /// The steps for which `wanted` returns true. It is called at most once per step, in the thread that trains, right
  /// after the step; what it throws ends the recording. `name` says in the run file what it stands for.
  /// @throws std::invalid_argument for an empty function
  Schedule& when(std::function<bool(int64_t step)> wanted, std::string name = "a function of the program");

  /// Whether `step` asks for a row.
  bool due(int64_t step) const;

  /// How many steps after `first` and before `last` ask for a row, functions of the program aside.
  int64_t between(int64_t first, int64_t last) const;

  /// For people: "every step from 100 to 200, every 50 steps from 201 on"; "epoch ends only" when it is empty.
  std::string describe() const;

 private:
  struct Part {
    int64_t n = 0;  ///< 0: logarithmic, or a function
    int64_t first = 1;
    int64_t last = 0;
    int64_t per_decade = 0;
    std::function<bool(int64_t)> wanted;
    std::string name;

    bool due(int64_t step) const;
  };

  std::vector<Part> parts_;
};

}  // namespace dynascope
