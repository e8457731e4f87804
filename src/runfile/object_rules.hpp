// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "declared.hpp"

namespace dynascope {

/// Compares every object and attribute of the file with what is declared.
/// @param rows    committed rows: growing datasets must have so many at least
/// @param events  complete events, likewise
void check_objects(const h5::InputFile& file, const Declaration& declaration, uint64_t rows, uint64_t events,
                   Findings& findings);

}  // namespace dynascope
