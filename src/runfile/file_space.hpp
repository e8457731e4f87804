// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <vector>

namespace dynascope::h5 {

/// Where the blocks of a new file lie.
///
/// A process that is killed while it writes may have written part of what it was asked to: Linux stops between two
/// pages of memory. A block of metadata that lies across two pages would then be half old and half new, and never be
/// read again, so none does (but those larger than a page: docs/reliability.md). Rows need no such care, as those under
/// way count for nothing: they lie side by side, but so that no number lies across two pages. `/committed` is one.
///
/// HDF5's own way to keep blocks in pages (H5F_FSPACE_STRATEGY_PAGE) also begins each chunk of rows on a page. It loses
/// the rest of its last one, up to a third of a file, and remembers each such rest in memory as long as the file is
/// open: 120 bytes a chunk, which grows with every row.
class FileSpace {
 public:
  enum class Holds { kMetadata, kRows };

  /// The address of `size` new bytes; `end` is that of the first byte behind all of them.
  uint64_t allocate(Holds what, uint64_t size, uint64_t& end);

 private:
  struct Room {
    uint64_t first, last;
  };
  std::vector<Room> rooms_;  // in pages of metadata that are not full
};

}  // namespace dynascope::h5
