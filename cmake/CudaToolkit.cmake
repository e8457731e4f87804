# SPDX-License-Identifier: BSD-3-Clause
# Which CUDA toolkit: what the user says (CMAKE_CUDA_COMPILER, CUDACXX, CUDAToolkit_ROOT), else the wheels in the project's
# Python environment, which are there only where scripts/bootstrap found no fitting toolkit, else the machine's. A LibTorch
# with CUDA asks for the toolkit even when our kernels are switched off.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND NOT CUDAToolkit_ROOT)
  find_program(
    DYNASCOPE_NVCC nvcc
    HINTS "${DYNASCOPE_SITE_PACKAGES}/nvidia/cu13/bin"
    PATHS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda
    PATH_SUFFIXES bin)
  mark_as_advanced(DYNASCOPE_NVCC)
  if(DYNASCOPE_NVCC)
    cmake_path(GET DYNASCOPE_NVCC PARENT_PATH dynascope_toolkit)
    cmake_path(GET dynascope_toolkit PARENT_PATH dynascope_toolkit)
    set(CMAKE_CUDA_COMPILER "${DYNASCOPE_NVCC}" CACHE FILEPATH "CUDA compiler")
    set(CUDAToolkit_ROOT "${dynascope_toolkit}" CACHE PATH "CUDA toolkit, as CMake calls it")
    set(CUDA_TOOLKIT_ROOT_DIR "${dynascope_toolkit}" CACHE PATH "CUDA toolkit, as LibTorch calls it")
  endif()
endif()

# Every architecture in use, and PTX for those to come; fewer are quicker to build. LibTorch's find_package wants its own
# variable, which wins where a user sets it: without one it asks the machine's GPU, and where there is none guesses
# compute_50, which CUDA 13 refuses.
set(DYNASCOPE_CUDA_ARCHITECTURES "8.0;8.6;8.9;9.0;10.0;12.0+PTX"
    CACHE STRING "GPU architectures to build for, as LibTorch spells them: 9.0, or 9.0+PTX")
if(NOT TORCH_CUDA_ARCH_LIST AND NOT DEFINED ENV{TORCH_CUDA_ARCH_LIST})
  set(TORCH_CUDA_ARCH_LIST "${DYNASCOPE_CUDA_ARCHITECTURES}")
endif()
