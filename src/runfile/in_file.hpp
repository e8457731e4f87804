// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "hdf5_handles.hpp"

#include <new>
#include <stdexcept>
#include <string>

namespace dynascope {

/// Runs `work`, which reads the file at `path`, with HDF5 silent; whatever goes wrong is one Error that tells the path.
template <class Work>
auto in_file(const std::string& path, Work work) {
  const h5::Silence silence;
  try {
    return work();
  } catch (const h5::Hdf5Error& error) {
    const std::string message = error.what();
    throw Error(message.find(path) == std::string::npos ? path + ": " + message : message);
  } catch (const std::bad_alloc&) {
    throw Error(path + ": there is not enough memory to read it");
  } catch (const std::length_error&) {
    throw Error(path + ": it claims more data than fits into memory");
  }
}

}  // namespace dynascope
