# SPDX-License-Identifier: BSD-3-Clause
# Warnings for our own sources only; never exported.
add_library(dynascope_warnings INTERFACE)
target_compile_options(
  dynascope_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Werror>)
