# SPDX-License-Identifier: BSD-3-Clause
# The project's own Python environment, made by scripts/bootstrap: LibTorch, the CUDA toolkit's wheels where the machine has
# no toolkit, and the foreign readers of the tests. A consumer that adds this project as a subdirectory brings its own.
set(DYNASCOPE_PYTHON "" CACHE FILEPATH "Python of the tests and plots; its LibTorch is used where no other is given")
if(NOT DYNASCOPE_PYTHON AND EXISTS "${PROJECT_SOURCE_DIR}/build/python/bin/python")
  set_property(CACHE DYNASCOPE_PYTHON PROPERTY VALUE "${PROJECT_SOURCE_DIR}/build/python/bin/python")
endif()

set(DYNASCOPE_SITE_PACKAGES "")
if(DYNASCOPE_PYTHON)
  execute_process(
    COMMAND "${DYNASCOPE_PYTHON}" -c "import sysconfig; print(sysconfig.get_path('purelib'))"
    OUTPUT_VARIABLE DYNASCOPE_SITE_PACKAGES
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()
