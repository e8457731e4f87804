// SPDX-License-Identifier: BSD-3-Clause
#include "image.hpp"

#include "block.hpp"

#include <algorithm>
#include <cstring>

namespace dynascope::DYNASCOPE_DEVICE {
namespace {

using engine::kThreads;
using engine::kWarp;

constexpr int64_t kAlignment = 16;

/// One item per `step` of `count`.
void add_steps(std::vector<WorkItem>& work, Job job, int64_t index, int64_t count, int64_t step) {
  for (int64_t first = 0; first < count; first += step) {
    work.push_back({job, static_cast<int32_t>(index), first});
  }
}

std::vector<WorkItem> combine_work(const engine::Tables& tables) {
  std::vector<WorkItem> work;
  for (int64_t link = 0; link < tables.link_count; link += kThreads / kWarp) {
    work.push_back({Job::kLinks, static_cast<int32_t>(link), 0});
  }
  for (int64_t i = 0; i < tables.matrix_count; ++i) {
    const engine::Matrix& matrix = tables.matrices[i];
    // One block of partials is the sum already.
    if (matrix.column_blocks != 1 || matrix.row_partials != matrix.row_sums) {
      add_steps(work, Job::kRowSums, i, engine::strips_of(matrix.rows * matrix.taps, matrix.column_blocks), 1);
    }
    if (matrix.row_blocks != 1 || matrix.column_partials != matrix.column_sums) {
      const int64_t strips = engine::strips_of(matrix.columns * matrix.taps, matrix.row_blocks);
      add_steps(work, Job::kColumnSums, i, matrix.groups * strips, 1);
    }
  }
  return work;
}

std::vector<WorkItem> node_work(const engine::Tables& tables) {
  std::vector<WorkItem> work;
  for (int64_t node = 0; node < tables.node_count; ++node) {
    // At least one: an empty layer has a summary too.
    add_steps(work, Job::kNode, node, std::max<int64_t>(tables.nodes[node].units, 1), engine::kSummaryUnits);
  }
  for (int64_t i = 0; i < tables.link_count; ++i) {
    const engine::LinkPlan& link = tables.links[i];
    const engine::Matrix& matrix = tables.matrices[link.first_matrix];
    if (link.row_sum >= 0) {
      add_steps(work, Job::kPlainRows, i, matrix.rows, kThreads);
    }
    if (link.column_sum >= 0) {
      add_steps(work, Job::kPlainColumns, i, matrix.columns * matrix.taps, kThreads);
    }
  }
  for (int64_t i = 0; i < tables.copy_count; ++i) {
    add_steps(work, Job::kCopy, i, tables.copies[i].count, engine::kCopiesPerBlock);
  }
  return work;
}

}  // namespace

Image::Image(const engine::Tables& tables) : tables_(tables) {
  matrices_ = append(tables.matrices, tables.matrix_count);
  tiles_ = append(tables.tiles, tables.tile_count);
  links_ = append(tables.links, tables.link_count);
  nodes_ = append(tables.nodes, tables.node_count);
  terms_ = append(tables.terms, tables.term_count);
  coefficients_ = append(tables.coefficients, tables.coefficient_count);
  indices_ = append(tables.indices, tables.index_count);
  copies_ = append(tables.copies, tables.copy_count);

  edge_count_ = tables.offsets.histogram < 0 ? 0 : tables.link_count * (tables.histogram_bins + 1);
  edges_ = append<double>(nullptr, edge_count_);

  const std::vector<WorkItem> combine = combine_work(tables);
  const std::vector<WorkItem> nodes = node_work(tables);
  combine_blocks_ = static_cast<int64_t>(combine.size());
  node_blocks_ = static_cast<int64_t>(nodes.size());
  combine_work_ = append(combine.data(), combine_blocks_);
  node_work_ = append(nodes.data(), node_blocks_);
  tickets_ = append<unsigned>(nullptr, tables.node_count);
}

template <typename T>
int64_t Image::append(const T* values, int64_t count) {
  const int64_t offset = (static_cast<int64_t>(bytes_.size()) + kAlignment - 1) / kAlignment * kAlignment;
  const size_t size = static_cast<size_t>(count) * sizeof(T);
  bytes_.resize(static_cast<size_t>(offset) + size);
  if (values != nullptr && size > 0) {
    std::memcpy(bytes_.data() + offset, values, size);
  }
  return offset;
}

Program Image::at(std::byte* base, double* workspace, engine::Moments* moments) const {
  Program program{};
  program.tables = tables_;
  program.tables.matrices = reinterpret_cast<const engine::Matrix*>(base + matrices_);
  program.tables.tiles = reinterpret_cast<const engine::Tile*>(base + tiles_);
  program.tables.links = reinterpret_cast<const engine::LinkPlan*>(base + links_);
  program.tables.nodes = reinterpret_cast<const engine::NodePlan*>(base + nodes_);
  program.tables.terms = reinterpret_cast<const engine::Term*>(base + terms_);
  program.tables.coefficients = reinterpret_cast<const double*>(base + coefficients_);
  program.tables.indices = reinterpret_cast<const int64_t*>(base + indices_);
  program.tables.copies = reinterpret_cast<const engine::Copy*>(base + copies_);
  program.tables.histogram_edges = reinterpret_cast<const double*>(base + edges_);
  program.tables.workspace = workspace;
  program.tables.moments = moments;
  program.combine_work = reinterpret_cast<const WorkItem*>(base + combine_work_);
  program.node_work = reinterpret_cast<const WorkItem*>(base + node_work_);
  program.tickets = reinterpret_cast<unsigned*>(base + tickets_);
  program.combine_blocks = combine_blocks_;
  program.node_blocks = node_blocks_;
  return program;
}

}  // namespace dynascope::DYNASCOPE_DEVICE
