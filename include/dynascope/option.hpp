// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <utility>

/// One option of an options class: `name(value)` sets it and returns the object, `name()` reads it.
///
/// Reads like LibTorch's option setters, without needing LibTorch's headers.
/// Use `DYNASCOPE_OPTION(int64_t, every_n_steps) = 0;` inside a class; what follows it is private.
#define DYNASCOPE_OPTION(Type, name)                    \
 public:                                                \
  auto name(Type value)->decltype(*this) {              \
    name##_ = std::move(value);                         \
    return *this;                                       \
  }                                                     \
  const Type& name() const noexcept { return name##_; } \
                                                        \
 private:                                               \
  Type name##_
