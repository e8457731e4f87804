// SPDX-License-Identifier: BSD-3-Clause
#include <dynascope/sink.hpp>

namespace dynascope {

Sink::~Sink() = default;
void Sink::write(const Event&) {}
void Sink::flush() {}
void Sink::close() {}
bool Sink::has_own_thread() const { return true; }
int64_t Sink::bytes_written() const { return 0; }

}  // namespace dynascope
