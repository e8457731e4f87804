// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Whether a file that is marked as open has a living writer, or was left behind by a killed process.
//
// The writer holds a lock on one byte far beyond any file's end, which the operating system lets go when the process
// dies. It is a shared lock, and of another kind than HDF5's own (flock), so that it keeps nobody out; asking for it
// takes nothing. A process id in the file would mean nothing on another machine, nor after its number was used again.
namespace dynascope::h5 {

/// Where the file system knows no locks this does nothing.
void set_life_mark(int descriptor);

/// True where the file system cannot tell.
bool has_life_mark(int descriptor);

}  // namespace dynascope::h5
