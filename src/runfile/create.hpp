// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"
#include "hdf5_handles.hpp"
#include "maker.hpp"

#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/run_file.hpp>

#include <string>

namespace dynascope {

/// Where a run file can be created: `path`, or what it links to. An existing file is removed, never emptied: a reader
/// or another writer that has it open keeps it whole, under no name.
/// @throws Error when it exists and `overwrite` is false, is no regular file, or has no folder
std::string make_room(const std::string& path, bool overwrite);

/// Forces a file to the disk. @throws Error
void sync_to_disk(const std::string& path);

/// Creates every object, attribute and dimension scale of a file of this kind in the empty file `file`.
///
/// All of it exists before the first row, because objects made after the switch to single-writer-multiple-readers are
/// not safe to read; no identifier but `file` is open afterwards, because the switch refuses open attributes.
void create_whole(hid_t file, const FileKind& kind, const RunDescription& description, const RowLayout& layout,
                  const RunProvenance& provenance, const h5::Packing& packing = h5::kLive);

}  // namespace dynascope
