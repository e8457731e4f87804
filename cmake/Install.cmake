# SPDX-License-Identifier: BSD-3-Clause
# find_package(dynascope) from the install tree and from the build tree. Two export sets, so that COMPONENTS runfile can be
# had without LibTorch.
include(CMakePackageConfigHelpers)
set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/dynascope")

foreach(library dynascope_runfile dynascope)
  # The libraries of one install folder find each other wherever it is moved.
  set_target_properties(${library} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                                              INSTALL_RPATH "$ORIGIN" INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${library} EXPORT ${library}-targets)
  install(EXPORT ${library}-targets NAMESPACE dynascope:: DESTINATION "${package_folder}")
  export(EXPORT ${library}-targets NAMESPACE dynascope:: FILE "${PROJECT_BINARY_DIR}/${library}-targets.cmake")
endforeach()
install(DIRECTORY include/dynascope "${PROJECT_BINARY_DIR}/include/dynascope" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp")
install(FILES LICENSE THIRD_PARTY.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")

string(REGEX MATCH "^[0-9]+\\.[0-9]+" DYNASCOPE_TORCH_VERSION "${Torch_VERSION}")
set(DYNASCOPE_SHARED OFF)
if(BUILD_SHARED_LIBS)
  set(DYNASCOPE_SHARED ON)
endif()
configure_package_config_file(cmake/dynascopeConfig.cmake.in "${PROJECT_BINARY_DIR}/dynascopeConfig.cmake"
                              INSTALL_DESTINATION "${package_folder}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/dynascopeConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/dynascopeConfig.cmake" "${PROJECT_BINARY_DIR}/dynascopeConfigVersion.cmake"
        DESTINATION "${package_folder}")
