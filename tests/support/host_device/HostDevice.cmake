# SPDX-License-Identifier: BSD-3-Clause
# dynascope_add_host_device(NAME): an object library of the kernels' own sources, compiled by the host's compiler against
# the stand-in for the CUDA headers in this folder.
set(DYNASCOPE_HOST_DEVICE_DIR "${CMAKE_CURRENT_LIST_DIR}")

function(dynascope_add_host_device name)
  set(kernels reduce.cu combine.cu nodes.cu)
  list(TRANSFORM kernels PREPEND "${PROJECT_SOURCE_DIR}/cuda/")
  set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++;-Wno-unknown-pragmas")
  add_library(
    ${name} OBJECT EXCLUDE_FROM_ALL
    ${kernels} "${PROJECT_SOURCE_DIR}/cuda/image.cpp" "${PROJECT_SOURCE_DIR}/cuda/check.cpp"
    "${DYNASCOPE_HOST_DEVICE_DIR}/scheduler.cpp")
  target_compile_definitions(${name} PUBLIC DYNASCOPE_HOST_DEVICE)
  target_compile_options(${name} PRIVATE -ffp-contract=off)
  target_include_directories(${name} PUBLIC "${DYNASCOPE_HOST_DEVICE_DIR}" "${PROJECT_SOURCE_DIR}/src"
                                            "${PROJECT_SOURCE_DIR}/include" "${PROJECT_BINARY_DIR}/include")
  target_link_libraries(${name} PRIVATE dynascope_warnings)
endfunction()
