# SPDX-License-Identifier: BSD-3-Clause
# Warnings for our own sources only; never exported. Errors when this is the top project; as a part of another one, or with
# a compiler that knows more warnings than ours, they are only printed (CMAKE_COMPILE_WARNING_AS_ERROR=OFF does that too).
if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_COMPILE_WARNING_AS_ERROR)
  set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
endif()

add_library(dynascope_warnings INTERFACE)
target_compile_options(
  dynascope_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion>)
