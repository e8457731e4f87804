// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <dynascope/export.hpp>
#include <dynascope/row_layout.hpp>
#include <dynascope/run_description.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dynascope {

/// One snapshot on its way to a sink: when it was taken, what the user logged, and the measured block.
struct Row {
  int64_t step = 0;                   ///< optimizer steps done; 0 = before training
  int64_t epoch = 0;                  ///< 0 = before training, then 1-based
  bool epoch_end = false;             ///< closes an epoch (true in row 0)
  double time = 0;                    ///< seconds since training began
  double snapshot_seconds = 0;        ///< what taking it cost
  int64_t dropped = 0;                ///< rows dropped before this one
  std::vector<double> scalars;        ///< in the order of RunDescription::scalars; NaN where none was given
  const std::byte* values = nullptr;  ///< RowLayout::bytes() bytes, laid out as the RowLayout says
};

/// What happened during a run besides rows. Codes are stable: docs/run-file.md lists them.
enum class EventCode : int32_t {
  kRowsDropped = 1,     ///< value: how many
  kBudgetDecision = 2,  ///< value: one of so many steps that ask for a row has one from here on
  kNonFinite = 3,       ///< first non-finite node strength or link weight; value: the unit
  kReplanned = 4,       ///< a parameter moved or changed its dtype; measured on
  kLayerLost = 5,       ///< a parameter changed in a way that the graph does not survive
  kError = 6,           ///< recording stopped or a call was out of order
  kResumed = 7,         ///< the run went on from a checkpoint; value: rows kept
};

struct Event {
  int64_t step = 0;
  double time = 0;  ///< seconds since training began
  EventCode code = EventCode::kError;
  double value = 0;
  std::string message;
};

/// Where rows go: a run file, memory, or your own.
///
/// The monitor calls `open` once on the thread that calls on_train_begin; afterwards one writer thread makes all calls,
/// one at a time, in the order of time. Implementers need no locks. What a sink throws after `open` stops the
/// recording, is reported once, and never reaches the training loop.
class DYNASCOPE_RUNFILE_API Sink {
 public:
  virtual ~Sink();

  /// Prepares for rows of this layout.
  /// @throws Error when the sink cannot be opened (for a file: exists already, no such folder, no permission)
  virtual void open(const RunDescription& description, const RowLayout& layout) = 0;

  /// Takes rows in order of time; the blocks they point to are valid during the call only.
  virtual void write(const std::vector<Row>& rows) = 0;

  /// Takes one event. The default drops it.
  virtual void write(const Event& event);

  /// Makes everything written so far visible to readers. The default does nothing.
  virtual void flush();

  /// Ends the run. No other call follows; called once, also after an error. The default does nothing.
  virtual void close();

  /// False when calls must come from the thread that trains (an HDF5 library without thread safety):
  /// rows then wait in memory until an epoch ends. The default is true.
  virtual bool has_own_thread() const;

  /// Bytes written so far, for status(), and to tell a slow sink from one that is stuck. The only member that other
  /// threads call, at any time. The default is 0.
  virtual int64_t bytes_written() const;
};

}  // namespace dynascope
