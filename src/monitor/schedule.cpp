// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/schedule.hpp>

#include <cmath>
#include <stdexcept>
#include <utility>

namespace dynascope {
namespace {

void require(bool holds, const std::string& what) {
  if (!holds) {
    throw std::invalid_argument("Schedule::" + what);
  }
}

// Whether `step` is 10^(k / per_decade), rounded, for some k.
bool is_log_spaced(int64_t step, int64_t per_decade) {
  const auto decades = static_cast<double>(per_decade);
  const double nearest = std::round(decades * std::log10(static_cast<double>(step)));
  for (const double k : {nearest - 1, nearest, nearest + 1}) {
    if (k >= 0 && std::llround(std::pow(10.0, k / decades)) == step) {
      return true;
    }
  }
  return false;
}

std::string steps(int64_t n) { return n == 1 ? "every step" : "every " + std::to_string(n) + " steps"; }

}  // namespace

Schedule& Schedule::every(int64_t n, int64_t first, int64_t last) {
  require(n >= 1, "every needs n of 1 or more, got " + std::to_string(n));
  require(first >= 1 && first <= last,
          "every needs 1 <= first <= last, got first " + std::to_string(first) + " and last " + std::to_string(last));
  Part part;
  part.n = n;
  part.first = first;
  part.last = last;
  parts_.push_back(std::move(part));
  return *this;
}

Schedule& Schedule::log_spaced(int64_t per_decade) {
  require(per_decade >= 1, "log_spaced needs 1 or more steps per decade, got " + std::to_string(per_decade));
  Part part;
  part.per_decade = per_decade;
  parts_.push_back(std::move(part));
  return *this;
}

Schedule& Schedule::when(std::function<bool(int64_t step)> wanted, std::string name) {
  require(wanted != nullptr, "when needs a function, got an empty one");
  Part part;
  part.wanted = std::move(wanted);
  part.name = std::move(name);
  parts_.push_back(std::move(part));
  return *this;
}

bool Schedule::Part::due(int64_t step) const {
  if (wanted) {
    return wanted(step);
  }
  return n > 0 ? step >= first && step <= last && step % n == 0 : is_log_spaced(step, per_decade);
}

bool Schedule::due(int64_t step) const {
  for (const Part& part : parts_) {
    if (step >= 1 && part.due(step)) {
      return true;
    }
  }
  return false;
}

int64_t Schedule::between(int64_t first, int64_t last) const {
  int64_t count = 0;
  for (int64_t step = first + 1; step < last; ++step) {
    for (const Part& part : parts_) {
      if (!part.wanted && part.due(step)) {
        ++count;
        break;
      }
    }
  }
  return count;
}

std::string Schedule::describe() const {
  std::string text;
  for (const Part& part : parts_) {
    text += text.empty() ? "" : ", ";
    if (part.wanted) {
      text += part.name;
    } else if (part.n == 0) {
      text += std::to_string(part.per_decade) + " steps per decade";
    } else {
      text += steps(part.n);
      const bool open = part.last == std::numeric_limits<int64_t>::max();
      if (part.first > 1 || !open) {
        text += " from " + std::to_string(part.first) + (open ? " on" : " to " + std::to_string(part.last));
      }
    }
  }
  return text.empty() ? "epoch ends only" : text;
}

}  // namespace dynascope
