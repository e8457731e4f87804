// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "geometry.hpp"
#include "plan.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace dynascope::engine {

/// Fills a Plan from its network and options: once, in the order of the member functions.
class PlanCompiler {
 public:
  explicit PlanCompiler(Plan& plan) : plan_(plan) {}

  void run();

 private:
  // plan_matrices.cpp: parameters as matrices and tiles.
  void add_weight_layers();
  void add_matrix(const at::Tensor& tensor, const std::string& name, int32_t layer, bool plain);
  void add_tiles(Matrix& matrix);
  void add_parameters();
  void watch(const at::Tensor& tensor, const std::string& name);
  int64_t take_workspace(int64_t doubles);

  // plan_compiler.cpp: node layers, their terms, and where everything stands in a row.
  void add_node_layers();
  void add_terms(const Contact& contact, const NodeLayer& node, const std::array<int64_t, 3>& classes);
  int64_t add_coefficients(const AxisTables& tables, const int64_t (&kernel)[3], const std::array<int64_t, 3>& classes);
  void add_ends(const Term& term, const Contact& contact, const NodeLayer& node, int64_t sums);
  void add_connections();
  void place();

  Plan& plan_;
};

/// True when the outputs of a weight are the columns of its matrix: a column of numbers is kept as a row.
bool is_turned(const WeightLayer& layer, const Matrix& matrix);

}  // namespace dynascope::engine
