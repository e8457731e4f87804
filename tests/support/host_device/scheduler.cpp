// SPDX-License-Identifier: BSD-3-Clause
#include "scheduler.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <setjmp.h>
#include <stdexcept>
#include <string>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace dynascope::host_device {

Index3 threadIdx;
Index3 blockIdx;

namespace {

constexpr size_t kStackBytes = 32 * 1024;
constexpr unsigned kWarp = 32;

enum class State { kReady, kAtBarrier, kAtExchange, kEnded };

// A thread of the host or of a block, with the stack that it runs on.
struct Fiber {
  std::unique_ptr<std::byte[]> stack;  // null: the host's own
  const void* bottom = nullptr;
  size_t size = 0;
  ucontext_t context{};
  jmp_buf position{};
  bool started = false;
  State state = State::kEnded;
  unsigned mask = 0;               // of the exchange it waits in
  unsigned exchanges = 0;          // calls so far in this block
  std::array<uint64_t, 2> bits{};  // of the last two exchanges: one lane may be one call ahead of another
};

// Returns when another fiber switches back to `from`. Contexts save the signal mask, two calls of the system per
// switch; jumps save none, but the address sanitizer does not let them leave a stack.
#if defined(__SANITIZE_ADDRESS__)
void switch_fiber(Fiber& from, Fiber& to) {
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, to.bottom, to.size);
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
}
void enter_fiber(Fiber& from) { __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size); }
#else
void switch_fiber(Fiber& from, Fiber& to) {
  if (_setjmp(from.position) == 0) {
    if (to.started) {
      _longjmp(to.position, 1);
    }
    setcontext(&to.context);
  }
}
void enter_fiber(Fiber& /*from*/) {}
#endif

// All fibers that a block of any grid so far needed; they live on and run thread after thread.
class Scheduler {
 public:
  static Scheduler& instance() {
    static Scheduler scheduler;
    return scheduler;
  }

  Scheduler() { host_.started = true; }

  void seed(uint64_t seed) { random_ = seed * 2 + 1; }

  std::vector<unsigned> shuffled(unsigned count) {
    std::vector<unsigned> order(count);
    for (unsigned i = 0; i < count; ++i) {
      const size_t place = static_cast<size_t>(next_random() % (i + 1));
      order[i] = order[place];
      order[place] = i;
    }
    return order;
  }

  void run_block(unsigned threads, const std::function<void()>& kernel) {
    prepare(threads);
    kernel_ = &kernel;
    ready_.clear();
    for (unsigned i = 0; i < threads; ++i) {
      fibers_[i]->state = State::kReady;
      fibers_[i]->exchanges = 0;
      ready_.push_back(i);
    }
    running_ = threads;
    at_barrier_ = 0;
    while (!ready_.empty()) {
      const size_t pick = static_cast<size_t>(next_random() % ready_.size());
      const unsigned thread = ready_[pick];
      ready_[pick] = ready_.back();
      ready_.pop_back();
      resume(thread);
    }
    if (running_ != 0) {
      const std::string waiting = std::to_string(running_) + " of " + std::to_string(threads);
      fibers_.clear();  // what they hold is lost
      throw std::logic_error("threads of a block must meet at the same barriers and shuffles, but " + waiting +
                             " wait for others, " + std::to_string(at_barrier_) + " of them at a barrier");
    }
  }

  void wait_for_block() {
    current().state = State::kAtBarrier;
    ++at_barrier_;
    if (at_barrier_ == fibers_.size()) {
      for (unsigned i = 0; i < fibers_.size(); ++i) {
        make_ready(i);
      }
      at_barrier_ = 0;
    }
    yield();
  }

  uint64_t exchange_down(unsigned mask, uint64_t bits, unsigned delta, int width) {
    const unsigned lane = current_ % kWarp;
    const unsigned group_end = (lane / static_cast<unsigned>(width) + 1) * static_cast<unsigned>(width);
    return exchange(mask, bits, lane + delta < group_end ? lane + delta : lane);
  }

  uint64_t exchange_xor(unsigned mask, uint64_t bits, unsigned lanes) {
    return exchange(mask, bits, (current_ % kWarp) ^ lanes);
  }

 private:
  uint64_t exchange(unsigned mask, uint64_t bits, unsigned source) {
    Fiber& self = current();
    const unsigned first = current_ - current_ % kWarp;
    const unsigned call = self.exchanges++;
    self.bits[call % 2] = bits;
    self.mask = mask;
    self.state = State::kAtExchange;
    if (all_lanes_wait(first, mask, self.exchanges)) {
      for_each_lane(first, mask, [&](unsigned thread) { make_ready(thread); });
    }
    yield();
    return fibers_[first + source]->bits[call % 2];
  }

  template <typename Function>
  static void for_each_lane(unsigned first, unsigned mask, Function function) {
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((mask >> lane & 1U) != 0) {
        function(first + lane);
      }
    }
  }

  bool all_lanes_wait(unsigned first, unsigned mask, unsigned exchanges) const {
    bool all = true;
    for_each_lane(first, mask, [&](unsigned thread) {
      all = all && thread < fibers_.size() && fibers_[thread]->state == State::kAtExchange &&
            fibers_[thread]->mask == mask && fibers_[thread]->exchanges == exchanges;
    });
    return all;
  }

  Fiber& current() { return *fibers_[current_]; }

  void make_ready(unsigned thread) {
    fibers_[thread]->state = State::kReady;
    ready_.push_back(thread);
  }

  uint64_t next_random() {  // splitmix64
    uint64_t z = random_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }

  void prepare(unsigned threads) {
    if (fibers_.size() != threads) {
      fibers_.clear();
    }
    while (fibers_.size() < threads) {
      auto fiber = std::make_unique<Fiber>();
      fiber->stack = std::make_unique<std::byte[]>(kStackBytes);
      fiber->bottom = fiber->stack.get();
      fiber->size = kStackBytes;
      getcontext(&fiber->context);
      fiber->context.uc_stack.ss_sp = fiber->stack.get();
      fiber->context.uc_stack.ss_size = kStackBytes;
      fiber->context.uc_link = nullptr;
      makecontext(&fiber->context, &Scheduler::enter, 0);
      fibers_.push_back(std::move(fiber));
    }
  }

  void resume(unsigned thread) {
    current_ = thread;
    threadIdx.x = thread;
    switch_fiber(host_, current());
  }

  void yield() { switch_fiber(current(), host_); }

  // A fiber's whole life: thread after thread.
  static void enter() {
    Scheduler& scheduler = instance();
    enter_fiber(scheduler.host_);
    scheduler.current().started = true;
    for (;;) {
      (*scheduler.kernel_)();
      scheduler.current().state = State::kEnded;
      --scheduler.running_;
      scheduler.yield();
    }
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<unsigned> ready_;
  const std::function<void()>* kernel_ = nullptr;
  Fiber host_;
  unsigned current_ = 0;
  unsigned running_ = 0;
  unsigned at_barrier_ = 0;
  uint64_t random_ = 1;
};

}  // namespace

void run_grid(unsigned blocks, unsigned threads, const std::function<void()>& kernel) {
  Scheduler& scheduler = Scheduler::instance();
  for (const unsigned block : scheduler.shuffled(blocks)) {
    blockIdx.x = block;
    scheduler.run_block(threads, kernel);
  }
}

void set_thread_order(uint64_t seed) { Scheduler::instance().seed(seed); }

void wait_for_block() { Scheduler::instance().wait_for_block(); }

uint64_t exchange_down(unsigned mask, uint64_t bits, unsigned delta, int width) {
  return Scheduler::instance().exchange_down(mask, bits, delta, width);
}

uint64_t exchange_xor(unsigned mask, uint64_t bits, unsigned lanes) {
  return Scheduler::instance().exchange_xor(mask, bits, lanes);
}

}  // namespace dynascope::host_device
