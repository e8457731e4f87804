// SPDX-License-Identifier: BSD-3-Clause
#include "processors.hpp"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <vector>

namespace dynascope::monitor {
namespace {

// Of the runtime that LibTorch has loaded, if any: linking to one would bring a second.
template <typename Function>
Function* runtime(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}

}  // namespace

void leave_training_its_processor() noexcept {
  const auto places = runtime<int()>("omp_get_num_places");
  const auto count = runtime<int(int)>("omp_get_place_num_procs");
  const auto list = runtime<void(int, int*)>("omp_get_place_proc_ids");
  if (places == nullptr || count == nullptr || list == nullptr) {
    return;
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  for (int place = 0; place < places(); ++place) {
    std::vector<int> processors(static_cast<size_t>(count(place)));
    list(place, processors.data());
    for (const int processor : processors) {
      if (processor >= 0 && processor < CPU_SETSIZE) {
        CPU_SET(processor, &allowed);
      }
    }
  }
  if (CPU_COUNT(&allowed) > 0) {
    pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed);
  }
}

}  // namespace dynascope::monitor
