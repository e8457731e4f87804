// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "input_file.hpp"

#include <dynascope/run_description.hpp>
#include <dynascope/run_file.hpp>

namespace dynascope {

/// @throws Error when the file is no run file, or one of a newer major schema version
RunProvenance read_provenance(const h5::InputFile& file);

/// Everything that was known before training, checked to fit together.
RunDescription read_description(const h5::InputFile& file);

}  // namespace dynascope
