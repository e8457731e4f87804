# SPDX-License-Identifier: BSD-3-Clause
# Compiler cache, where there is one and the consumer has not chosen otherwise.
if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(DYNASCOPE_CCACHE ccache)
  mark_as_advanced(DYNASCOPE_CCACHE)
  if(DYNASCOPE_CCACHE)
    # Precompiled headers are only cached with these.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
        "${DYNASCOPE_CCACHE}")
    set(CMAKE_CUDA_COMPILER_LAUNCHER "${DYNASCOPE_CCACHE}")
  endif()
endif()
