// SPDX-License-Identifier: BSD-3-Clause
// Kills writers with SIGKILL at random moments and looks at what they leave behind.
//
//   faults_kill [--runs N] [--seed S] [--models mlp,deep,wide] [--policies row,batch,fsync] [--folder DIR] [--keep]
//
// N runs per model and flush policy. A run is killed between the creation of its file and some hundred flushes later.
// Then, each time: the file opens as it is and breaks no rule; every row that a flush reported is there, and none
// beyond the batch that was being flushed; every value of every visible row is the one that was written, bit for bit;
// recover makes a finished file with the same rows of it, and leaves the killed one as it was, to the byte. Prints a
// line per model and policy; exit status 1 if any run broke a promise. What is read is read in a process of its own, so
// that a crash of the reader counts as a broken promise and not as the end of the campaign.
#include "models.hpp"
#include "runfile/child.hpp"
#include "runfile/temporary_folder.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/recover.hpp>
#include <dynascope/run_file.hpp>
#include <dynascope/validate.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
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

template <class T>
void require_equal(const T& expected, const T& found, const std::string& what) {
  if (!(expected == found)) {
    std::ostringstream text;
    text << what << ": expected " << expected << ", found " << found;
    throw Error(text.str());
  }
}

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

void check_index(const RunFile& file, const RunDescription& run) {
  SampleRows source(run, RowLayout());
  const auto rows = source.rows(0, file.rows());
  const RunRows index = file.row_index();
  for (int64_t row = 0; row < file.rows(); ++row) {
    const Row& expected = rows[static_cast<size_t>(row)];
    const auto at = static_cast<size_t>(row);
    const std::string where = "row " + std::to_string(row);
    require_equal(expected.step, index.step[at], where + ", step");
    require_equal(expected.epoch, index.epoch[at], where + ", epoch");
    require_equal(expected.epoch_end, bool(index.epoch_end[at]), where + ", epoch_end");
    require_equal(expected.time, index.time[at], where + ", time");
    require_equal(expected.snapshot_seconds, index.snapshot_seconds[at], where + ", snapshot");
    require_equal(expected.dropped, index.dropped[at], where + ", dropped");
  }
  for (size_t key = 0; key < file.description().scalars.size(); ++key) {
    const auto values = file.scalar(file.description().scalars[key]);
    for (int64_t row = 0; row < file.rows(); ++row) {
      const double expected = rows[static_cast<size_t>(row)].scalars[key];
      require_equal(true, same_bits(expected, values[static_cast<size_t>(row)]), "a scalar is the one written");
    }
  }
}

void check_values(const RunFile& file) {
  constexpr int64_t kRowsAtOnce = 16;
  const RowLayout layout(file.description());
  for (size_t number = 0; number < layout.spans().size(); ++number) {
    const Span& span = layout.spans()[number];
    const double factor = span.type == RowType::kInt64 ? 16 : 1;
    for (int64_t first = 0; first < file.rows(); first += kRowsAtOnce) {
      const int64_t count = std::min(kRowsAtOnce, file.rows() - first);
      const auto values = file.read(span.path, first, count);
      for (int64_t i = 0; i < count * span.count; ++i) {
        double expected = factor * sample_value(first + i / span.count, static_cast<int64_t>(number), i % span.count);
        expected = span.type == RowType::kFloat32 ? static_cast<float>(expected) : expected;
        if (!same_bits(expected, values[static_cast<size_t>(i)])) {
          require_equal(expected, values[static_cast<size_t>(i)], span.path + ", row " + std::to_string(first));
        }
      }
    }
  }
}

void check_events(const RunFile& file, const Policy& policy) {
  const auto events = file.events();
  // The newest batch may be committed and its event not yet.
  require_equal(true, static_cast<int64_t>(events.size() + 1) * policy.rows_per_flush >= file.rows(),
                "every committed batch but the last has its event");
  for (size_t i = 0; i < events.size(); ++i) {
    require_equal(static_cast<int64_t>(i) * policy.rows_per_flush, events[i].step,
                  "step of event " + std::to_string(i));
    require_equal(std::string("event"), events[i].message, "message of event " + std::to_string(i));
  }
}

void check_contents(const std::string& path, const RunDescription& run, const Policy& policy, bool finished) {
  const RunFile file(path);
  require_equal(true, file.rows() >= shared().rows, "every row that a flush reported is committed");
  require_equal(true, file.rows() <= shared().begun, "no row is committed that was not written");
  require_equal(int64_t{0}, file.rows() % policy.rows_per_flush, "rows are committed in whole batches");
  require_equal(!finished, file.in_progress(), "the file is marked as open");
  require_equal(false, file.has_writer(), "the writer is known to be dead");
  check_index(file, run);
  check_values(file);
  check_events(file, policy);
  for (const Violation& violation : validate(path)) {
    throw Error("validate says " + violation.object + " " + violation.message);
  }
}

std::string bytes_of(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

void check_run(const std::string& path, const RunDescription& run, const Policy& policy) {
  check_contents(path, run, policy, false);
  const std::string copy = path + ".recovered";
  const std::string before = bytes_of(path);
  const Recovered recovered = recover(path, copy);
  require_equal(std::string(), recovered.damage, "nothing is damaged");
  require_equal(recovered.committed, recovered.rows, "every committed row is recovered");
  require_equal(true, before == bytes_of(path), "the killed file is as it was");
  check_contents(copy, run, policy, true);
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
    // Creation takes 5 to 50 ms, a flush 1 to 10: from the first call to some hundred flushes.
    const double exponent = std::uniform_real_distribution<double>(0.5, 2.5)(random);
    const auto microseconds = static_cast<int64_t>(1000 * std::pow(10.0, exponent));
    Child writer([&] {
      write_for_ever(path, run, policy);
      return 0;
    });
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
