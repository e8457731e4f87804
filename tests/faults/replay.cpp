// SPDX-License-Identifier: BSD-3-Clause
// Replays what a program wrote to a run file (FAULT_TRACE of preload.c) up to every moment at which it could have been
// cut off, and looks at the file that was there.
//
//   faults_replay TRACE MODEL ROWS_PER_BATCH kill
//       a killed process: every prefix of the writes, the last of them cut at every page boundary too
//   faults_replay TRACE MODEL ROWS_PER_BATCH power SEED DRAWS
//       a power failure: before every fsync and every 5th write, what was written before the last fsync, and of what
//       came after it a random part (so many draws each)
//
// Every row of a batch that had been told as flushed (power: flushed, and fsync'ed) must be there, bit for bit. Prints
// the number of files looked at; exit status 1 if any was broken. Moments before the first batch are not looked at.
#include "checks.hpp"
#include "runfile/child.hpp"
#include "runfile/temporary_folder.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <unistd.h>

namespace dynascope::testing {
namespace {

constexpr int64_t kPage = 4096;

struct Entry {
  int64_t kind, at, size;  ///< kind: 'w' write, 't' new length, 's' fsync, 'm' mark: rows told as flushed
  std::vector<char> bytes;
};

std::vector<Entry> read_trace(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<Entry> entries;
  for (Entry entry; file.read(reinterpret_cast<char*>(&entry), 3 * sizeof(int64_t)); entries.push_back(entry)) {
    entry.bytes.resize(entry.kind == 'w' ? static_cast<size_t>(entry.size) : 0);
    file.read(entry.bytes.data(), static_cast<std::streamsize>(entry.bytes.size()));
  }
  return entries;
}

class Image {
 public:
  explicit Image(std::string path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  }
  ~Image() { ::close(descriptor_); }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  const std::string& path() const { return path_; }

  void apply(const Entry& entry, int64_t size) {
    if (entry.kind == 't' && ::ftruncate(descriptor_, entry.at) != 0) {
      throw Error("cannot set the length of the image");
    }
    if (entry.kind == 'w' && ::pwrite(descriptor_, entry.bytes.data(), static_cast<size_t>(size), entry.at) != size) {
      throw Error("cannot write the image");
    }
  }
  void apply(const Entry& entry) { apply(entry, entry.size); }

 private:
  std::string path_;
  int descriptor_;
};

class Replay {
 public:
  Replay(std::vector<Entry> entries, const std::string& model_name, int64_t rows_per_batch)
      : entries_(std::move(entries)), run_(model(model_name)), rows_per_batch_(rows_per_batch), last_(entries_.size()) {
    // What is written when the file is closed ends the run; nothing is promised in between.
    while (last_ > 0 && entries_[last_ - 1].kind != 'm') {
      --last_;
    }
  }

  void kill() {
    Image image(folder_.file("image.h5"));
    int64_t told = 0;
    for (size_t i = 0; i < last_; ++i) {
      const Entry& entry = entries_[i];
      for (int64_t cut = (entry.at / kPage + 1) * kPage - entry.at; told > 0 && cut < entry.size; cut += kPage) {
        image.apply(entry, cut);
        look(image, told, i);
      }
      image.apply(entry);
      told = entry.kind == 'm' ? entry.at : told;
      if (told > 0) {
        look(image, told, i);
      }
    }
  }

  void power(uint64_t seed, int draws) {
    std::mt19937_64 random(seed);
    size_t safe = 0;  // entries before this are on the disk
    int64_t told = 0, told_safe = 0;
    for (size_t i = 0; i < last_; ++i) {
      told = entries_[i].kind == 'm' ? entries_[i].at : told;
      const bool fsync = entries_[i].kind == 's';
      for (int draw = 0; told_safe > 0 && draw < draws && (fsync || i % 5 == 0); ++draw) {
        lose_power(safe, i, told_safe, random);
      }
      if (fsync) {
        safe = i;
        told_safe = told;
      }
      // A batch is told after its last fsync.
      if (entries_[i].kind == 'm') {
        told_safe = told;
      }
    }
  }

  int finish() const {
    std::cout << looked_ << " files, " << broken_ << " broken" << std::endl;
    return broken_ == 0 && looked_ > 0 ? 0 : 1;
  }

 private:
  void lose_power(size_t safe, size_t end, int64_t told, std::mt19937_64& random) {
    Image image(folder_.file("image.h5"));
    for (size_t i = 0; i < safe; ++i) {
      image.apply(entries_[i]);
    }
    for (size_t i = safe; i < end; ++i) {
      if (std::bernoulli_distribution(0.5)(random)) {
        image.apply(entries_[i]);
      }
    }
    look(image, told, end);
  }

  void look(const Image& image, int64_t told, size_t at) {
    ++looked_;
    const Progress progress{told, told + rows_per_batch_, rows_per_batch_};
    const std::string said = folder_.file("said");
    Child reader([&] {
      try {
        check_contents(image.path(), run_, progress, false);
      } catch (const std::exception& error) {
        std::ofstream(said) << error.what();
        std::_Exit(1);
      }
      std::_Exit(0);
      return 0;
    });
    if (const int status = reader.wait(); status != 0) {
      std::cout << "broken: cut off in entry " << at << " of " << entries_.size() << ", status " << status << ": "
                << std::ifstream(said).rdbuf() << std::endl;
      ++broken_;
    }
  }

  const TemporaryFolder folder_;
  const std::vector<Entry> entries_;
  const RunDescription run_;
  const int64_t rows_per_batch_;
  size_t last_;
  int64_t looked_ = 0, broken_ = 0;
};

}  // namespace
}  // namespace dynascope::testing

int main(int argc, char** argv) {
  using dynascope::testing::Replay;
  const std::string how = argc > 4 ? argv[4] : "";
  if (how != "kill" && !(how == "power" && argc > 6)) {
    std::cerr << "usage: faults_replay TRACE MODEL ROWS_PER_BATCH kill | power SEED DRAWS\n";
    return 2;
  }
  Replay replay(dynascope::testing::read_trace(argv[1]), argv[2], std::stoll(argv[3]));
  if (how == "kill") {
    replay.kill();
  } else {
    replay.power(std::stoull(argv[5]), std::stoi(argv[6]));
  }
  return replay.finish();
}
