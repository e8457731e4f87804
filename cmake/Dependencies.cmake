# SPDX-License-Identifier: BSD-3-Clause
# What the project builds on: found, never fetched. Where this is a subdirectory, the targets found must be known in the
# consumer's directory too: it links them with our static libraries.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
find_package(Threads REQUIRED)
find_package(HDF5 1.10 REQUIRED COMPONENTS C HL)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)

if(NOT TARGET torch)
  include(Python)
  include(CudaToolkit)
  # Its two warnings (it ignores CMAKE_CUDA_ARCHITECTURES, which CMake itself sets; the wheel has no kineto) help nobody, and
  # the summary tells what was found; --log-level=STATUS shows all.
  set(CMAKE_MESSAGE_LOG_LEVEL ERROR)
  find_package(Torch 2.11 HINTS "${DYNASCOPE_SITE_PACKAGES}/torch/share/cmake/Torch")
  unset(CMAKE_MESSAGE_LOG_LEVEL)
  if(NOT Torch_FOUND)
    message(FATAL_ERROR "LibTorch 2.11 or later was not found. Run scripts/bootstrap, which installs it into build/python, "
                        "or set CMAKE_PREFIX_PATH to the share/cmake folder of another one.")
  endif()
endif()

set(DYNASCOPE_HAS_CUDA FALSE)
if(NOT DYNASCOPE_CUDA STREQUAL "OFF")
  if(CMAKE_CUDA_COMPILER AND TORCH_CUDA_LIBRARIES)
    enable_language(CUDA)
    set(DYNASCOPE_HAS_CUDA TRUE)
  elseif(DYNASCOPE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "DYNASCOPE_CUDA=ON needs nvcc (found: '${CMAKE_CUDA_COMPILER}') and a LibTorch with CUDA "
                        "(found: ${Torch_VERSION} in ${Torch_DIR}); install CUDA 13, or set DYNASCOPE_CUDA=OFF")
  endif()
endif()
unset(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL)
