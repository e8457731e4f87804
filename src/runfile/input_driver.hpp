// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "hdf5_handles.hpp"

namespace dynascope::h5 {

/// A file driver that reads through a descriptor that is open already (its `info` is an int) and never writes.
///
/// HDF5's own driver hands out zeros for what lies beyond the end of the file. For a run whose end was lost (a power
/// failure, a broken copy) these would pass for measured rows; here they are an error.
Id register_input_driver();

}  // namespace dynascope::h5
