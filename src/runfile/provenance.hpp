// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"

#include <dynascope/run_file.hpp>

#include <string>

// Who wrote a file, where and when. Nothing here touches the random generators of the program that trains.
namespace dynascope::provenance {

std::string now_utc();      ///< ISO 8601, for example "2026-01-31T12:00:00Z"
std::string random_uuid();  ///< version 4
std::string host_name();
std::string command_line();  ///< of this process, arguments with spaces quoted; empty where the system does not tell

/// For a file that this process creates.
RunProvenance of_this_process(const FileKind& kind);

/// For a file that this process makes of another: the run stays who it was, and its history grows by a line.
RunProvenance continued(RunProvenance from, const std::string& what);

}  // namespace dynascope::provenance
