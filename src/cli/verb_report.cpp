// SPDX-License-Identifier: BSD-3-Clause
// dynascope report: one page of interactive figures, made by the Python package in python/dynascope.
//
// The figures exist once, in Python, where notebooks want them. Linking libpython would cost every verb its start-up
// and tie the program to one Python; copying plotly.js and drawing from C++ would make a second set of figures. So this
// verb checks the file as every verb does and then becomes a Python, in the same child process with the same limits.
// Which one:
//
// - interpreter: $DYNASCOPE_PYTHON, for those who know; else the one that ../share/dynascope/interpreter names (a
//   build tree names the environment of scripts/bootstrap there, a package may name its own); else python3
// - package: ../share/dynascope/python, so that page and program are of one version wherever both are moved; else what
//   that interpreter has installed
#include "run_view.hpp"
#include "verb.hpp"

#include <dynascope/error.hpp>

#include <CLI/CLI.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace dynascope::cli {
namespace {

constexpr const char* kNeeds = "report needs Python 3.11 or newer with h5py, numpy and plotly";
constexpr const char* kRemedy =
    "install them (python3 -m pip install h5py numpy plotly), or name a Python that has them in DYNASCOPE_PYTHON";

// argv: folder of the package or "", needs, remedy, then the package's own arguments. Nothing is imported from the
// folder that the user happens to be in.
constexpr const char* kProgram = R"(
import sys
folder, needs, remedy = sys.argv[1:4]
sys.path[0:1] = [folder] if folder else []
try:
    if sys.version_info < (3, 11):
        raise ImportError("it is version " + sys.version.split()[0])
    import h5py, numpy, plotly
    from dynascope.__main__ import main
except (ImportError, MemoryError) as error:
    sys.stderr.write("dynascope: %s; %s: %s; %s\n" % (needs, sys.executable, " ".join(str(error).split()), remedy))
    sys.exit(2)
sys.exit(main(sys.argv[4:]))
)";

struct ReportOptions {
  std::string path;
  std::string to;
  std::string by;
};

// Beside the program, wherever it was moved to.
std::filesystem::path shared_folder() {
  std::error_code unknown;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", unknown);
  return (program.parent_path() / DYNASCOPE_DATA_FROM_BIN / "dynascope").lexically_normal();
}

std::string interpreter(const std::filesystem::path& shared) {
  const char* wanted = std::getenv("DYNASCOPE_PYTHON");
  std::string python = wanted != nullptr ? wanted : "";
  if (python.empty()) {
    std::ifstream file(shared / "interpreter");
    std::getline(file, python);
  }
  return python.empty() ? "python3" : python;
}

int write_report(const ReportOptions& options, const Output& output) {
  open_run(options.path);
  const auto shared = shared_folder();
  const std::string python = interpreter(shared);
  std::error_code unknown;
  const bool beside = std::filesystem::exists(shared / "python" / "dynascope", unknown);

  std::vector<std::string> words = {python, "-W",    "ignore",     "-c", kProgram,  beside ? shared / "python" : "",
                                    kNeeds, kRemedy, options.path, "-o", options.to};
  if (!options.by.empty()) {
    words.insert(words.end(), {"--by", options.by});
  }
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  // A thread per core would take its memory from the limit.
  for (const char* threads : {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}) {
    setenv(threads, "1", 1);
  }
  output.got_on();
  execvp(python.c_str(), arguments.data());
  throw Error(std::string(kNeeds) + "; cannot start " + python + ": " + std::strerror(errno) + "; " + kRemedy);
}

}  // namespace

void add_report(CLI::App& app, Job& job) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* verb = app.add_subcommand("report", "Write one self-contained page of interactive figures (with Python)");
  verb->add_option("RUN", options->path, "Run file")->required()->type_name("");
  verb->add_option("-o,--output", options->to, "Page to write or to replace; -: standard output")
      ->required()
      ->type_name("FILE");
  verb->add_option("--by", options->by, "Count time by epoch or step (default: epochs, where there are two or more)")
      ->check(CLI::IsMember({"epoch", "step"}))
      ->type_name("WHAT");
  verb->footer(
      "Needs Python 3.11 or newer with h5py, numpy and plotly: the one that DYNASCOPE_PYTHON names, or python3.\n\n"
      "Example:\n  dynascope report run.h5 -o report.html");
  verb->callback([options, &job] {
    job.reads = options->path;
    job.action = [options](const Output& output) { return write_report(*options, output); };
  });
}

}  // namespace dynascope::cli
