// SPDX-License-Identifier: BSD-3-Clause
// Writes a run as a Monitor does, through the writer's thread, while something goes wrong with the file (preload.c).
//
//   faults_writer PATH MODEL BATCHES ROWS_PER_BATCH never|epoch|close block|drop [FILE]
//
// Says what became of it: "opened", or "not opened: WHY"; "failed after N rows: WHY" once the status tells, "end: N
// rows, D dropped, E errors, longest wait W ms"; then exits through every exit handler, with status 0. After half of
// the batches it waits until FILE is there.
#include "monitor/writer.hpp"

#include "models.hpp"
#include "monitor/ledger.hpp"

#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace dynascope::testing {
namespace {

constexpr int64_t kSlots = 32;

/// Rows in memory, complete at once.
class Blocks final : public monitor::Blocks {
 public:
  explicit Blocks(size_t bytes) : rows_(kSlots, std::vector<std::byte>(bytes)) {}
  std::byte* at(int64_t slot) { return rows_[static_cast<size_t>(slot)].data(); }
  bool ready(int64_t /*slot*/) override { return true; }
  void wait(int64_t /*slot*/) override {}
  const std::byte* row(int64_t slot) const override { return rows_[static_cast<size_t>(slot)].data(); }

 private:
  std::vector<std::vector<std::byte>> rows_;
};

struct Plan {
  std::string path;
  RunDescription run;
  int64_t batches;
  int64_t rows_per_batch;
  Fsync fsync;
  WhenFull when_full;
  std::string wait_for;
};

Plan parse(int argc, char** argv) {
  if (argc < 7) {
    throw std::invalid_argument("needs PATH MODEL BATCHES ROWS never|epoch|close block|drop [FILE]");
  }
  const std::string fsync = argv[5];
  return {argv[1],
          model(argv[2]),
          std::stoll(argv[3]),
          std::stoll(argv[4]),
          fsync == "never"   ? Fsync::kNever
          : fsync == "epoch" ? Fsync::kEpoch
                             : Fsync::kClose,
          std::string(argv[6]) == "drop" ? WhenFull::kDrop : WhenFull::kBlock,
          argc > 7 ? argv[7] : ""};
}

void wait_for_file(const std::string& path) {
  while (!path.empty() && !std::filesystem::exists(path)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

class Run {
 public:
  explicit Run(Plan plan)
      : plan_(std::move(plan)),
        source_(plan_.run, RowLayout(plan_.run)),
        blocks_(std::make_shared<Blocks>(static_cast<size_t>(source_.layout().bytes()))),
        sink_(std::make_shared<Hdf5Sink>(plan_.path, Hdf5Options().fsync(plan_.fsync))),
        writer_(std::make_unique<monitor::Writer>(sink_, kSlots, plan_.when_full, ledger_)) {}

  bool open() {
    try {
      sink_->open(plan_.run, source_.layout());
    } catch (const Error& error) {
      std::cout << "not opened: " << error.what() << std::endl;
      return false;
    }
    std::cout << "opened" << std::endl;
    writer_->start({});
    return true;
  }

  void write() {
    for (int64_t batch = 0; batch < plan_.batches; ++batch) {
      if (batch == plan_.batches / 2) {
        wait_for_file(plan_.wait_for);
      }
      for (int64_t i = 0; i < plan_.rows_per_batch; ++i) {
        push(batch * plan_.rows_per_batch + i);
      }
      writer_->push(Event{batch * plan_.rows_per_batch, 0, EventCode::kReplanned, 0, "event"});
      if (plan_.when_full == WhenFull::kBlock) {
        writer_->drain();
        ::ftruncate(-2, ledger_.status().rows_written);  // a mark in the trace
      } else {
        writer_->flush();
      }
      tell();
    }
  }

  /// True when everything is written or known to have failed.
  bool finish() {
    const bool done = writer_->finish(std::chrono::seconds(2));
    tell();
    const auto status = ledger_.status();
    std::cout << "end: " << status.rows_written << " rows, " << dropped_ << " dropped, " << status.errors
              << " errors, longest wait " << longest_.count() << " ms" << std::endl;
    return done;
  }

 private:
  void push(int64_t number) {
    const auto begin = std::chrono::steady_clock::now();
    const auto slot = writer_->acquire();
    longest_ = std::max(
        longest_, std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin));
    if (!slot) {
      dropped_ += writer_->failed() ? 0 : 1;
      return;
    }
    monitor::QueuedRow queued;
    queued.row = source_.rows(number, 1)[0];
    std::memcpy(blocks_->at(*slot), queued.row.values, static_cast<size_t>(source_.layout().bytes()));
    queued.slot = *slot;
    queued.blocks = blocks_;
    writer_->push(std::move(queued));
  }

  void tell() {
    const auto status = ledger_.status();
    if (!status.first_error.empty() && !told_) {
      told_ = true;
      std::cout << "failed after " << status.rows_written << " rows: " << status.first_error << std::endl;
    }
  }

  Plan plan_;
  SampleRows source_;
  std::shared_ptr<Blocks> blocks_;
  std::shared_ptr<Hdf5Sink> sink_;
  monitor::Ledger ledger_;
  std::unique_ptr<monitor::Writer> writer_;
  int64_t dropped_ = 0;
  bool told_ = false;
  std::chrono::milliseconds longest_{0};
};

}  // namespace
}  // namespace dynascope::testing

int main(int argc, char** argv) {
  using dynascope::testing::Run;
  try {
    auto run = std::make_unique<Run>(dynascope::testing::parse(argc, argv));
    if (run->open()) {
      run->write();
      if (!run->finish()) {
        static_cast<void>(run.release());  // its thread is stuck
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "faults_writer: " << error.what() << '\n';
    return 2;
  }
  return 0;
}
