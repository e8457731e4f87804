// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "hdf5_handles.hpp"

#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>

namespace dynascope {

/// Creates every object, attribute and dimension scale of a run file in the empty file `file`.
///
/// All of it exists before the first row, because objects made after the switch to single-writer-multiple-readers are
/// not safe to read; no identifier but `file` is open afterwards, because the switch refuses open attributes.
void create_run(hid_t file, const RunDescription& description, const RowLayout& layout);

}  // namespace dynascope
