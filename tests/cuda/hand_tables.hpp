// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "engine/tables.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace dynascope::test {

/// How a hand-made matrix lies in memory.
enum class Layout {
  kContiguous,
  kTransposed,  ///< columns outermost, as of a transposed view
  kPadded,      ///< rows longer than their values, as of a slice of columns
  kMisaligned,  ///< contiguous, one element past an aligned address, as of an offset view
};

/// Rows, columns of a group, kernel; rows of its tiles, 0: as Plan would cut them.
struct Shape {
  int64_t rows = 0, columns = 0;
  int64_t kernel[3] = {1, 1, 1};
  int64_t groups = 1;
  int64_t tile_rows = 0;
};

/// Tables and the values that they point to, made by hand instead of by Plan: without LibTorch, with shapes and terms
/// that no network needs to have.
class HandTables {
 public:
  explicit HandTables(uint64_t seed) : random_(seed) {}

  /// A weight layer with a matrix of random values, and a bias where `bias` is true.
  /// @return its position
  int32_t add_link(const Shape& shape, engine::Dtype dtype, Layout layout, bool bias, bool plain = false);

  /// A node layer of `channels` x `classes` units with `terms` random terms over the sums of all links so far.
  void add_node(int64_t channels, std::vector<int64_t> classes, int terms);

  /// Records the values of a link's weight in the row.
  void add_copy(int32_t link);

  /// Overwrites one value of a link's weight.
  void set_value(int32_t link, int64_t row, int64_t column, int64_t tap, double value);

  /// Multiplies all values of a link's weight, then adds to them.
  void scale(int32_t link, double factor, double offset = 0.0);

  /// Ends the building: places everything in a row; histogram of `bins` bins, 0: none.
  void finish(int64_t bins);

  /// The values that the tables point to.
  const std::deque<std::vector<std::byte>>& memory() const { return memory_; }

  /// In host memory; workspace and moments are null.
  const engine::Tables& tables() const { return tables_; }
  int64_t workspace_doubles() const { return workspace_; }
  int64_t row_bytes() const { return row_bytes_; }

 private:
  void add_matrix(const Shape& shape, engine::Dtype dtype, Layout layout, int32_t link);
  void add_tiles(engine::Matrix& matrix, int64_t tile_rows);
  engine::Term random_term(const engine::NodePlan& node);
  int64_t place(int64_t bytes);
  int64_t pick(int64_t low, int64_t high);
  double normal();

  std::mt19937_64 random_;
  std::deque<std::vector<std::byte>> memory_;
  std::vector<engine::Matrix> matrices_;
  std::vector<engine::Tile> tiles_;
  std::vector<engine::LinkPlan> links_;
  std::vector<engine::NodePlan> nodes_;
  std::vector<engine::Term> terms_;
  std::vector<double> coefficients_;
  std::vector<int64_t> indices_;
  std::vector<double> edges_;
  std::vector<engine::Copy> copies_;
  engine::Tables tables_{};
  int64_t workspace_ = 0;
  int64_t row_bytes_ = 0;
};

/// One row of `tables` from the cpu's passes, and behind it the workspace and the moments, canonical().
std::vector<std::byte> cpu_row(const HandTables& tables, bool histogram);

/// The same from the kernels, the last of `launches` over one image of the tables: on a GPU (hand_rows_cuda.cpp), or
/// from their sources on the host stand-in (hand_rows_host.cpp). An executable has one of the two.
std::vector<std::byte> device_row(const HandTables& tables, bool histogram, int launches = 1);

/// Empty where device_row() works, otherwise why it cannot.
std::string reason_to_skip_device();

/// Seeds the order in which the stand-in runs threads; a GPU takes none.
void set_thread_order(uint64_t seed);

/// What no pass wrote keeps its value; a workspace of NaN shows sums that are read before they are written.
std::vector<std::byte> untouched_row(const HandTables& tables);
std::vector<double> untouched_workspace(const HandTables& tables);

/// Rows hold float32 where sums are float64: so the sums themselves stand behind the row.
void append_sums(std::vector<std::byte>& row, const std::vector<double>& workspace,
                 const std::vector<engine::Moments>& moments);

/// Where two rows differ first, in words; empty where they do not.
std::string first_difference(const std::vector<std::byte>& expected, const std::vector<std::byte>& actual);

}  // namespace dynascope::test
