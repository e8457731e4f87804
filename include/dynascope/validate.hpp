// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>

#include <string>
#include <vector>

namespace dynascope {

/// One rule of docs/run-file.md or docs/population-file.md that a file breaks.
struct Violation {
  std::string object;   ///< path inside the file; "/" for the file itself
  std::string message;  ///< what must be and what is; one line
};

/// Checks a run file, finished or growing or left behind, against every rule of docs/run-file.md, a population file
/// against those of docs/population-file.md: which objects and
/// attributes there are, and no others; types, shapes, scales, fill values, filters; the order of rows and events.
///
/// What is expected is derived from the names and shapes in the file itself and from the tables of the schema, not from
/// the program that writes, so that an error in that one shows. At most 1,000 violations are told.
/// @return empty for a valid file
/// @throws Error when it is neither, cannot be opened, or follows a newer major version of the schema
DYNASCOPE_RUNFILE_API std::vector<Violation> validate(const std::string& path);

}  // namespace dynascope
