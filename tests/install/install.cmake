# SPDX-License-Identifier: BSD-3-Clause
# Installs BUILD into an empty PREFIX: what an earlier version left there must not help.
file(REMOVE_RECURSE "${PREFIX}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${PREFIX}" OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
