// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>

namespace dynascope::host_device {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

/// Of the thread that runs; the kernels' threadIdx and blockIdx. One grid runs at a time, in one thread of the host.
extern Index3 threadIdx;
extern Index3 blockIdx;

/// Runs `kernel` once for each thread of `blocks` blocks, block after block in a random order; each thread of a block
/// is a fiber. Whenever a fiber waits or ends, another that may run is picked at random: an order in which the threads
/// of a device may run, so that a missing barrier shows as a changed result.
/// @throws std::logic_error when threads wait for others that have ended or wait elsewhere
void run_grid(unsigned blocks, unsigned threads, const std::function<void()>& kernel);

/// Seeds the order of blocks and threads from now on.
void set_thread_order(uint64_t seed);

/// Returns when all threads of the block have called it.
void wait_for_block();

/// Hands `bits` to the warp and takes those of the lane `delta` above within its group of `width` lanes (its own where
/// there is none); returns when all lanes in `mask` have called it.
uint64_t exchange_down(unsigned mask, uint64_t bits, unsigned delta, int width);

/// The same with the lane that differs in the bits of `lanes`.
uint64_t exchange_xor(unsigned mask, uint64_t bits, unsigned lanes);

}  // namespace dynascope::host_device
