# SPDX-License-Identifier: BSD-3-Clause
# What the project builds on. LibTorch and HDF5 are found, never fetched.
find_package(Threads REQUIRED)
find_package(HDF5 1.10 REQUIRED COMPONENTS C)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)

# A machine without a GPU cannot be asked which to build for, and LibTorch's own guess (compute_50) is refused by CUDA 13.
if(NOT TORCH_CUDA_ARCH_LIST AND NOT DEFINED ENV{TORCH_CUDA_ARCH_LIST})
  set(TORCH_CUDA_ARCH_LIST "8.0;9.0+PTX" CACHE STRING "GPU architectures, as LibTorch spells them")
endif()

if(NOT DYNASCOPE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
endif()
find_package(Torch 2.11 REQUIRED)

set(DYNASCOPE_HAS_CUDA FALSE)
if(NOT DYNASCOPE_CUDA STREQUAL "OFF")
  if(CMAKE_CUDA_COMPILER AND TORCH_CUDA_LIBRARIES)
    enable_language(CUDA)
    set(DYNASCOPE_HAS_CUDA TRUE)
  elseif(DYNASCOPE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "DYNASCOPE_CUDA=ON needs nvcc (found: '${CMAKE_CUDA_COMPILER}') and a LibTorch with CUDA; "
                        "install CUDA 13, or set DYNASCOPE_CUDA=OFF")
  endif()
endif()
