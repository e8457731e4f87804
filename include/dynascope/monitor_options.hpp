// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/metric_options.hpp>
#include <dynascope/option.hpp>
#include <dynascope/run_description.hpp>
#include <dynascope/schedule.hpp>
#include <dynascope/sink.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dynascope {

/// What happens when rows come faster than the sink takes them and the buffer is full: training waits for the sink, or
/// the row is dropped and counted (`rows_dropped`, `/cost/dropped`).
enum class WhenFull { kBlock, kDrop };

/// What a Monitor records, when, and where. Setters return the object: `MonitorOptions("run.h5").every_n_steps(10)`.
class DYNASCOPE_API MonitorOptions {
 public:
  /// @param path  the run file; unused when a sink is given
  explicit MonitorOptions(std::string path = "run.h5") : path_(std::move(path)) {}

  DYNASCOPE_OPTION(std::string, path);

  /// A row after every n-th optimizer step, beside those at epoch ends; 0: epoch ends only, and what `schedule` adds.
  DYNASCOPE_OPTION(int64_t, every_n_steps) = 0;

  /// Rows after other steps too: in a window, spaced logarithmically, or when a function of yours says so (see
  /// Schedule).
  DYNASCOPE_OPTION(Schedule, schedule);

  /// The share of the training time that snapshots may take, for example 0.01; 0: no limit. Of the steps that ask for a
  /// row only every 2nd, 5th, 10th ... then has one, as the measured costs allow: time spent in on_step_end, time on
  /// the GPU (CUDA events) and, where training uses all cores, that of the writer. Each change is an event of the run
  /// (EventCode::kBudgetDecision). Epoch ends always have their row; their cost counts.
  DYNASCOPE_OPTION(double, overhead_budget) = 0;

  /// Regular expressions (ECMAScript, searched in the parameter's path): weight layers to measure, and not to.
  DYNASCOPE_OPTION(std::string, include);
  DYNASCOPE_OPTION(std::string, exclude);

  /// Says the same with a function: only weight layers whose path it returns true for are measured. Empty: all.
  DYNASCOPE_OPTION(std::function<bool(const std::string& path)>, select);

  /// The choices that define the metrics (docs/metrics.md).
  DYNASCOPE_OPTION(MetricOptions, metrics);

 public:
  MonitorOptions& bias(Bias value) {
    metrics_.bias(value);
    return *this;
  }
  MonitorOptions& boundary(Boundary value) {
    metrics_.boundary(value);
    return *this;
  }
  MonitorOptions& padding(Padding value) {
    metrics_.padding(value);
    return *this;
  }
  MonitorOptions& granularity(Granularity value) {
    metrics_.granularity(value);
    return *this;
  }

  /// Store in-strength and out-strength beside strength.
  DYNASCOPE_OPTION(bool, components) = false;

  /// When link-weight histograms are filled, and their number of bins.
  DYNASCOPE_OPTION(Histogram, histogram) = Histogram::kEpochEnds;
  DYNASCOPE_OPTION(int64_t, histogram_bins) = 128;

  /// Store the values of all parameters in every row (large; for checking and for small networks).
  DYNASCOPE_OPTION(bool, record_parameters) = false;

  /// Keys of the values given to on_epoch_end and log, for example {"loss", "accuracy"}.
  DYNASCOPE_OPTION(std::vector<std::string>, scalars);

  /// The user's hyper-parameters as JSON text; stored in the run file's attribute `config`.
  DYNASCOPE_OPTION(std::string, config);

  /// Free text for the run file's attributes `title` and `source`; without it they say what the file is.
  DYNASCOPE_OPTION(std::string, title);
  DYNASCOPE_OPTION(std::string, source);

  /// Replace an existing file; otherwise one is an error.
  DYNASCOPE_OPTION(bool, overwrite) = false;
  DYNASCOPE_OPTION(Fsync, fsync) = Fsync::kNever;

  /// Goes on with the run in the existing file after this optimizer step, whose weights the modules must have; -1: a
  /// new run. Rows after the step are dropped, and those to come are what an uninterrupted run would have written,
  /// `/time` and `/cost` aside. Epochs go on as the rows tell; Monitor::load knows them better. A file of a killed
  /// process will do as it is; one of another network, or measured by other options, is an error.
  DYNASCOPE_OPTION(int64_t, resume) = -1;

  /// Rows that fit between training and the sink (0: as many as 8 MiB hold, from 16 to 512; else at least 2), and what
  /// happens when they are full. They are written, and flushed, at the latest when half of them wait, every two seconds
  /// and at epoch ends.
  DYNASCOPE_OPTION(int64_t, buffered_rows) = 0;
  DYNASCOPE_OPTION(WhenFull, when_full) = WhenFull::kBlock;

  /// Where rows go; null: Hdf5Sink(path).
  DYNASCOPE_OPTION(std::shared_ptr<Sink>, sink);
};

}  // namespace dynascope
