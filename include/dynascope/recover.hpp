// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/option.hpp>

#include <cstdint>
#include <string>

namespace dynascope {

class DYNASCOPE_RUNFILE_API RecoverOptions {
 public:
  /// Compresses the copy, losslessly; for archives, as a compressed file takes longer to read.
  DYNASCOPE_OPTION(bool, compress) = false;
};

/// What came out of a recovery.
struct Recovered {
  int64_t rows = 0;         ///< in the copy
  int64_t committed = 0;    ///< that the run promised: more than `rows` only where the file itself is damaged
  int64_t uncommitted = 0;  ///< begun after the last flush; left behind
  int64_t events = 0;
  std::string damage;  ///< what could not be read; empty where nothing was lost
};

/// Makes a finished run file or population file (whose members are the rows), which any HDF5 tool opens, of one that
/// was left behind by a killed process, is still growing, or is whole.
///
/// The run is only ever opened for reading. The copy is made anew, object by object and row by row, rather than
/// patched: what a half-dead file says about free space is not believed, and nothing that the schema does not know
/// comes along. It is the same run (run_id, created, ...), with a line more in `history`. Rows up to the first that
/// cannot be read are kept.
/// @param run  path of the run file
/// @param to   path of the copy, which must not exist; removed again when this throws
/// @throws Error when `run` cannot be read, or `to` not be written
DYNASCOPE_RUNFILE_API Recovered recover(const std::string& run, const std::string& to,
                                        const RecoverOptions& options = {});

}  // namespace dynascope
