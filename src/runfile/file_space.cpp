// SPDX-License-Identifier: BSD-3-Clause
#include "file_space.hpp"

#include <algorithm>
#include <utility>

namespace dynascope::h5 {
namespace {

// Of the page cache, on every platform that LibTorch has CUDA for; larger ones are multiples of it.
constexpr uint64_t kPage = 4096;
constexpr size_t kMostRooms = 32;

constexpr uint64_t kNumber = 8;

constexpr uint64_t next_multiple(uint64_t address, uint64_t of) { return (address + of - 1) / of * of; }

}  // namespace

uint64_t FileSpace::allocate(Holds what, uint64_t size, uint64_t& end) {
  if (what == Holds::kRows) {
    const uint64_t address = next_multiple(end, kNumber);
    end = address + size;
    return address;
  }
  // HDF5 lengthens the block that ends where the file does, over the page's border too: none ends there.
  auto room = std::find_if(rooms_.begin(), rooms_.end(), [&](const Room& r) { return r.last - r.first > size; });
  if (room == rooms_.end()) {
    const uint64_t page = next_multiple(end, kPage);
    end = next_multiple(page + size + 1, kPage);
    room = rooms_.insert(room, {page, end});
  }
  const uint64_t address = std::exchange(room->first, room->first + size);
  if (rooms_.size() > kMostRooms) {
    rooms_.erase(std::min_element(rooms_.begin(), rooms_.end(),
                                  [](const Room& a, const Room& b) { return a.last - a.first < b.last - b.first; }));
  }
  return address;
}

}  // namespace dynascope::h5
