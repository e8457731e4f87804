// SPDX-License-Identifier: BSD-3-Clause
// Kills writers with SIGKILL at random moments and looks at what they leave behind.
//
//   faults_kill [--runs N] [--seed S] [--models mlp,deep,wide] [--policies row,batch,fsync]
//               [--longest MS] [--folder DIR] [--keep]
//
// N runs per model and flush policy. A run is killed between the creation of its file and some hundred flushes later.
// Then, each time: the file opens as it is and breaks no rule; every row that a flush reported is there, and none
// beyond the batch that was being flushed; every value of every visible row is the one that was written, bit for bit;
// recover makes a finished file with the same rows of it, and leaves the killed one as it was, to the byte. Prints a
// line per model and policy; exit status 1 if any run broke a promise. What is read is read in a process of its own, so
// that a crash of the reader counts as a broken promise and not as the end of the campaign.
#include "checks.hpp"
#include "runfile/child.hpp"
#include "runfile/temporary_folder.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/recover.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace dynascope::testing {
namespace {

struct Policy {
  int64_t rows_per_flush;
  Fsync fsync;
};

const std::map<std::string, Policy> kPolicies = {
    {"row", {1, Fsync::kNever}}, {"batch", {16, Fsync::kNever}}, {"fsync", {16, Fsync::kEpoch}}};

/// What the writer tells before it dies, in memory that both processes see.
struct Told {
  std::atomic<bool> opened;
  std::atomic<int64_t> rows;   // flushed
  std::atomic<int64_t> begun;  // handed to write
};

Told& shared() {
  static auto* told = [] {
    void* memory = ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? throw std::runtime_error("no shared memory") : new (memory) Told;
  }();
  return *told;
}

struct Options {
  int64_t runs = 6;
  uint64_t seed = 20261124;
  std::vector<std::string> models = {"mlp", "deep", "wide"};
  std::vector<std::string> policies = {"row", "batch", "fsync"};
  std::string folder;
  double longest = 300;  // milliseconds
  bool keep = false;
};

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) {
    parts.push_back(part);
  }
  return parts;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--keep") {
      options.keep = true;
      continue;
    }
    if (i + 1 == argc) {
      throw std::invalid_argument("no value for " + name);
    }
    const std::string value = argv[++i];
    if (name == "--runs") {
      options.runs = std::stoll(value);
    } else if (name == "--seed") {
      options.seed = std::stoull(value);
    } else if (name == "--models") {
      options.models = split(value);
    } else if (name == "--policies") {
      options.policies = split(value);
    } else if (name == "--longest") {
      options.longest = std::stod(value);
    } else if (name == "--folder") {
      options.folder = value;
    } else {
      throw std::invalid_argument("unknown option " + name);
    }
  }
  return options;
}

[[noreturn]] void write_for_ever(const std::string& path, const RunDescription& run, const Policy& policy) {
  Hdf5Sink sink(path, Hdf5Options().fsync(policy.fsync));
  SampleRows source(run, RowLayout(run));
  sink.open(run, source.layout());
  shared().opened = true;
  for (int64_t row = 0;; row += policy.rows_per_flush) {
    shared().begun = row + policy.rows_per_flush;
    sink.write(source.rows(row, policy.rows_per_flush));
    sink.write(Event{row, 0, EventCode::kReplanned, static_cast<double>(row), "event"});
    sink.flush();
    shared().rows = row + policy.rows_per_flush;
  }
}

std::string bytes_of(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

void check_run(const std::string& path, const RunDescription& run, const Policy& policy) {
  const Progress progress{shared().rows, shared().begun, policy.rows_per_flush};
  check_contents(path, run, progress, false);
  const std::string copy = path + ".recovered";
  const std::string before = bytes_of(path);
  const Recovered recovered = recover(path, copy);
  require_equal(std::string(), recovered.damage, "nothing is damaged");
  require_equal(recovered.committed, recovered.rows, "every committed row is recovered");
  require_equal(true, before == bytes_of(path), "the killed file is as it was");
  check_contents(copy, run, progress, true);
}

struct Outcome {
  bool created = true;  ///< killed after the file was a run
  int64_t rows = 0;
  std::string broken;  ///< which promise; empty when none
};

/// A file whose creation was not finished must not look like a run; anything else is checked in full.
Outcome look_at(const std::string& path, const RunDescription& run, const Policy& policy) {
  Outcome outcome;
  outcome.rows = shared().rows;
  const std::string said = path + ".said";
  Child reader([&] {
    ::freopen(said.c_str(), "w", stderr);
    try {
      check_run(path, run, policy);
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
      std::cerr.flush();
      std::_Exit(1);
    }
    std::_Exit(0);
    return 0;
  });
  const int status = reader.wait(std::chrono::seconds(60));
  if (status != 0 && !shared().opened && (status == 1 || !std::filesystem::exists(path))) {
    outcome.created = false;
  } else if (status != 0) {
    std::ostringstream text;
    text << std::ifstream(said).rdbuf();
    outcome.broken = status == 1 ? text.str() : "the reader ended with status " + std::to_string(status);
  }
  std::filesystem::remove(said);
  std::filesystem::remove(path + ".recovered");
  return outcome;
}

/// One line of the table; returns the number of broken promises.
int64_t campaign(const Options& options, const std::string& model_name, const std::string& policy_name,
                 const std::string& folder, std::mt19937_64& random) {
  const RunDescription run = model(model_name);
  const Policy policy = kPolicies.at(policy_name);
  int64_t early = 0;
  int64_t rows = 0;
  int64_t broken = 0;
  for (int64_t number = 0; number < options.runs; ++number) {
    const std::string path = folder + "/" + model_name + "-" + policy_name + "-" + std::to_string(number) + ".h5";
    new (&shared()) Told{};
    // One in ten anywhere from the first call on, the others after the creation: from 0.1 ms on, all scales alike.
    const bool any_time = std::uniform_int_distribution<int>(0, 9)(random) == 0;
    const double exponent = std::uniform_real_distribution<double>(-1, std::log10(options.longest))(random);
    const auto microseconds = static_cast<int64_t>(1000 * std::pow(10.0, exponent));
    Child writer([&] {
      write_for_ever(path, run, policy);
      return 0;
    });
    while (!any_time && !shared().opened) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
    writer.kill();
    const Outcome outcome = look_at(path, run, policy);
    early += outcome.created ? 0 : 1;
    rows += outcome.rows;
    if (!outcome.broken.empty()) {
      ++broken;
      std::cout << "broken: " << path << ", killed after " << microseconds << " us: " << outcome.broken << std::endl;
    }
    if (!(options.keep && !outcome.broken.empty())) {
      std::filesystem::remove(path);
    }
  }
  std::cout << model_name << '\t' << policy_name << '\t' << options.runs << '\t' << early << '\t' << rows << '\t'
            << broken << std::endl;
  return broken;
}

int run_all(const Options& options) {
  std::mt19937_64 random(options.seed);
  const TemporaryFolder temporary;
  const std::string folder = options.folder.empty() ? temporary.file("") : options.folder;
  std::cout << "seed " << options.seed << "\nmodel\tflush\tkilled\tin creation\trows\tbroken" << std::endl;
  int64_t broken = 0;
  for (const std::string& model_name : options.models) {
    for (const std::string& policy_name : options.policies) {
      broken += campaign(options, model_name, policy_name, folder, random);
    }
  }
  return broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace dynascope::testing

int main(int argc, char** argv) {
  try {
    return dynascope::testing::run_all(dynascope::testing::parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "faults_kill: " << error.what() << '\n';
    return 2;
  }
}
