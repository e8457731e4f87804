# SPDX-License-Identifier: BSD-3-Clause
# Every public header compiled alone: as C++17 and as C++20, warnings as errors, those of dynascope::runfile without
# LibTorch's include path. Only compiled, never linked. Since <torch/nn/module.h> costs seconds, the LibTorch ones share a
# single file in the C++20 pass: that they stand alone is shown by the other.
file(GLOB found RELATIVE "${PROJECT_SOURCE_DIR}/include/dynascope" CONFIGURE_DEPENDS "include/dynascope/*.hpp")
foreach(header IN LISTS found)
  cmake_path(GET header STEM stem)
  if(NOT stem IN_LIST DYNASCOPE_RUNFILE_HEADERS AND NOT stem IN_LIST DYNASCOPE_TORCH_HEADERS)
    message(FATAL_ERROR "include/dynascope/${header} is in neither list of cmake/PublicHeaders.cmake: add it there")
  endif()
endforeach()

function(dynascope_header_test name library standard)
  add_library(${name} OBJECT ${ARGN})
  set_target_properties(${name} PROPERTIES CXX_STANDARD ${standard} CXX_STANDARD_REQUIRED ON)
  target_compile_options(${name} PRIVATE -O0)
  target_link_libraries(${name} PRIVATE ${library} dynascope_warnings)
endfunction()

set(folder "${PROJECT_BINARY_DIR}/header_tests")
set(alone_runfile "")
set(alone_torch "")
set(together "")
foreach(library runfile torch)
  string(TOUPPER ${library} upper)
  foreach(stem IN LISTS DYNASCOPE_${upper}_HEADERS)
    file(CONFIGURE OUTPUT "${folder}/${stem}.cpp" CONTENT "#include <dynascope/@stem@.hpp>\n" @ONLY)
    list(APPEND alone_${library} "${folder}/${stem}.cpp")
    string(APPEND together "#include <dynascope/${stem}.hpp>\n")
  endforeach()
endforeach()
file(CONFIGURE OUTPUT "${folder}/together.cpp" CONTENT "@together@" @ONLY)

dynascope_header_test(dynascope_headers_runfile_17 dynascope_runfile 17 ${alone_runfile})
dynascope_header_test(dynascope_headers_runfile_20 dynascope_runfile 20 ${alone_runfile})
dynascope_header_test(dynascope_headers_torch_17 dynascope 17 ${alone_torch})
dynascope_header_test(dynascope_headers_torch_20 dynascope 20 "${folder}/together.cpp")
