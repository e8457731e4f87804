// SPDX-License-Identifier: BSD-3-Clause
#include "guard.hpp"

#include "target_file.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <sstream>
#include <string>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace dynascope::cli {
namespace {

constexpr rlim_t kMemoryBytes = rlim_t{1000} << 20;
constexpr rlim_t kProcessorSeconds = 4;
constexpr rlim_t kBytesPerSecond = 20 << 20;  // of what the file takes on the disk: a sparse one gets no time for holes
constexpr unsigned kWallFactor = 8;           // for slow disks and busy machines: what loops is stopped by the above

void limit(__rlimit_resource resource, rlim_t value) {
  const rlimit both{value, value};
  setrlimit(resource, &both);
}

rlim_t seconds_for(const std::string& path) {
  struct stat status {};
  const bool known = stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
  return kProcessorSeconds + (known ? static_cast<rlim_t>(status.st_blocks) * 512 / kBytesPerSecond : 0);
}

// From now on; more can be had later.
void limit_time(rlim_t seconds) {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  rlimit processor{};
  getrlimit(RLIMIT_CPU, &processor);
  const rlim_t until = static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + seconds;
  processor.rlim_cur = std::min(until, processor.rlim_max);
  setrlimit(RLIMIT_CPU, &processor);
  alarm(static_cast<unsigned>(seconds) * kWallFactor);
}

void limit_this_process(rlim_t seconds) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  limit(RLIMIT_CORE, 0);
  limit_time(seconds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their shadow memory is larger than any limit
  limit(RLIMIT_AS, kMemoryBytes);
#endif
}

int terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  for (char& c : text) {
    c = static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c;
  }
  return text;
}

std::string trouble(const std::string& what) { return "dynascope: " + one_line(what) + '\n'; }

int run_here(const Job& job, rlim_t seconds, bool color, bool terminal) {
  std::ostringstream data;
  std::ostringstream messages;
  int status = kTrouble;
  try {
    status = job.action(Output{data, messages, terminal, color, terminal_width(), [seconds] { limit_time(seconds); }});
  } catch (const std::bad_alloc&) {
    messages << trouble("the file asks for more memory than a run needs (over 1 GB); it is damaged, or no run file");
  } catch (const std::exception& error) {
    messages << trouble(error.what());
  }
  write_all(STDERR_FILENO, messages.str());
  if (status != kTrouble && !write_all(STDOUT_FILENO, data.str())) {
    write_all(STDERR_FILENO, trouble(std::string("cannot write to standard output: ") + std::strerror(errno)));
    return kTrouble;
  }
  return status;
}

std::string read_all(int file) {
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = read(file, buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR)) {
    if (got > 0 && text.size() < (size_t{1} << 20)) {
      text.append(buffer, static_cast<size_t>(got));
    }
  }
  return text;
}

int run_once(const Job& job, bool color, bool terminal) {
  int messages[2];
  if (pipe(messages) != 0) {
    write_all(STDERR_FILENO, trouble(std::string("cannot make a pipe: ") + std::strerror(errno)));
    return kTrouble;
  }
  const pid_t child = fork();
  if (child < 0) {
    write_all(STDERR_FILENO, trouble(std::string("cannot start a process: ") + std::strerror(errno)));
    return kTrouble;
  }
  if (child == 0) {
    dup2(messages[1], STDERR_FILENO);
    close(messages[0]);
    close(messages[1]);
    const rlim_t seconds = seconds_for(job.reads);
    limit_this_process(seconds);
    // Not exit(): HDF5's own clean-up may crash on a file that already gave an answer.
    _exit(run_here(job, seconds, color, terminal));
  }
  close(messages[1]);
  const std::string text = read_all(messages[0]);
  close(messages[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) {
    write_all(STDERR_FILENO, text);
    return WEXITSTATUS(status);
  }
  const int signal = WTERMSIG(status);
  if (signal == SIGPIPE || signal == SIGINT || signal == SIGTERM) {
    return 128 + signal;
  }
  const bool limited = signal == SIGXCPU || signal == SIGKILL || signal == SIGALRM;
  const std::string why = limited ? "out of time or memory" : strsignal(signal);
  write_all(STDERR_FILENO, trouble("reading the file stopped (" + why + "): it is damaged, or no run file"));
  return kTrouble;
}

}  // namespace

int run_guarded(const Job& job, bool color, bool terminal) {
  int status = run_once(job, color, terminal);
  while (job.interval > 0 && status == kAgain) {
    std::this_thread::sleep_for(std::chrono::duration<double>(job.interval));
    status = run_once(job, color, terminal);
  }
  return status;
}

}  // namespace dynascope::cli
