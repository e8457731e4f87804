# SPDX-License-Identifier: BSD-3-Clause
# Compiles one kernel file as the library does and fails when the assembler reports a stack frame or spilled registers, for
# any architecture: such a kernel reads and writes device memory behind its back.
#   cmake -DNVCC=... -DFLAGS="..." -DSOURCE=... -DINCLUDES=a:b -DOUTPUT=... -P resource_usage.cmake
separate_arguments(flags UNIX_COMMAND "${FLAGS}")
string(REPLACE ":" ";-I" includes "-I${INCLUDES}")
execute_process(COMMAND "${NVCC}" ${flags} ${includes} --resource-usage -c "${SOURCE}" -o "${OUTPUT}"
                RESULT_VARIABLE status OUTPUT_VARIABLE report ERROR_VARIABLE report)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "nvcc failed:\n${report}")
endif()
string(REGEX MATCHALL "[0-9]+ bytes stack frame, [0-9]+ bytes spill stores, [0-9]+ bytes spill loads" lines "${report}")
if(NOT lines)
  message(FATAL_ERROR "nvcc reported no kernel:\n${report}")
endif()
foreach(line IN LISTS lines)
  if(NOT line STREQUAL "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads")
    message(FATAL_ERROR "a kernel of ${SOURCE} must keep to its registers, got ${line}:\n${report}")
  endif()
endforeach()
string(REGEX MATCHALL "Used [0-9]+ registers" registers "${report}")
list(JOIN registers ", " registers)
list(LENGTH lines kernels)
message(STATUS "${kernels} kernels, ${registers}, no stack, no spills")
