// SPDX-License-Identifier: BSD-3-Clause
#include "budget.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace dynascope::monitor {
namespace {

constexpr double kWeight = 0.2;  // of the newest value in a smoothed one

// Narrower strides must look affordable by this much, and for this many rows, or the stride would go to and fro.
constexpr double kMargin = 0.75;
constexpr int64_t kRowsBeforeNarrowing = 5;

void smooth(std::optional<double>& value, double newest) {
  value = value ? *value + kWeight * (newest - *value) : newest;
}

// The least of 1, 2, 5, 10, ... that is `wanted` or more.
int64_t stride_of(double wanted) {
  for (int64_t decade = 1; decade < int64_t{1} << 40; decade *= 10) {
    for (const int64_t digit : {1, 2, 5}) {
      if (static_cast<double>(digit * decade) >= wanted) {
        return digit * decade;
      }
    }
  }
  return int64_t{1} << 40;
}

}  // namespace

std::string Budget::set_stride(int64_t stride, double cost) {
  char text[200];
  std::snprintf(text, sizeof text,
                "overhead budget %.3g %%: one of %lld due steps has a row from here on, before it was one of %lld; a "
                "snapshot takes %.3g ms, due steps come every %.3g ms",
                share_ * 100, static_cast<long long>(stride), static_cast<long long>(stride_), cost * 1e3, *gap_ * 1e3);
  stride_ = stride;
  taken_ = 0;
  return text;
}

Budget::Decision Budget::ask(double now, const Spent& spent) {
  if (share_ <= 0) {
    return {};
  }
  const double trained = now - spent.in_all;
  smooth(gap_, trained - std::exchange(trained_, trained));
  ++asked_;
  if (!cost_) {
    return {true, ""};
  }
  if (*gap_ <= 0) {
    return {false, ""};
  }

  Decision decision;
  const double cost = *cost_ + spent.later;
  const double wanted = cost / (share_ * *gap_);
  if (const int64_t wide = stride_of(wanted); wide > stride_) {
    decision.change = set_stride(wide, cost);
  } else if (const int64_t narrow = stride_of(wanted / kMargin); narrow < stride_ && taken_ >= kRowsBeforeNarrowing) {
    decision.change = set_stride(narrow, cost);
  }
  decision.take = asked_ % stride_ == 0 && spent.in_all + cost <= share_ * now;
  taken_ += decision.take ? 1 : 0;
  return decision;
}

void Budget::paid(double seconds) { smooth(cost_, seconds); }

}  // namespace dynascope::monitor
