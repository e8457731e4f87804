// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"
#include "input_file.hpp"

#include <dynascope/run_description.hpp>
#include <dynascope/run_file.hpp>

namespace dynascope {

/// What the file says it is. @throws Error when it is none of ours
const FileKind& read_kind(const h5::InputFile& file);

/// @throws Error when the file is not of this kind, or of a newer major schema version
RunProvenance read_provenance(const h5::InputFile& file, const FileKind& kind);

/// Everything that was known before training, checked to fit together.
RunDescription read_description(const h5::InputFile& file, const FileKind& kind);

}  // namespace dynascope
