// SPDX-License-Identifier: BSD-3-Clause
#include "run_view.hpp"

#include <dynascope/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

namespace dynascope::cli {
namespace {

constexpr Metric kMetrics[] = {
    {"fluctuation", "nodes", false, "standard deviation of node strength over a node layer's units"},
    {"strength_mean", "nodes", false, "mean node strength"},
    {"strength_min", "nodes", false, "least node strength"},
    {"strength_max", "nodes", false, "greatest node strength"},
    {"nonfinite", "nodes", true, "nodes whose strength is not finite"},
    {"mean", "links", false, "mean link weight"},
    {"std", "links", false, "standard deviation of link weights"},
    {"min", "links", false, "least finite link weight"},
    {"max", "links", false, "greatest finite link weight"},
    {"abs_mean", "links", false, "mean absolute link weight"},
    {"norm", "links", false, "Euclidean norm of the link weights"},
    {"nonfinite", "links", true, "entries that are not finite (say links/nonfinite)"},
};

}  // namespace

RunFile open_run(const std::string& path) {
  std::error_code ignored;
  const auto kind = std::filesystem::status(path, ignored).type();
  // Opening a named pipe would wait for someone to write to it.
  if (kind != std::filesystem::file_type::regular && kind != std::filesystem::file_type::not_found) {
    throw Error(path + (kind == std::filesystem::file_type::directory ? " is a directory" : " is no regular file") +
                ", expected a run file");
  }
  return RunFile(path);
}

std::string metric_help() {
  std::string text;
  for (const Metric& metric : kMetrics) {
    const std::string name = metric.name;
    text += "  " + name + std::string(15 - name.size(), ' ') + metric.group + ": " + metric.what + '\n';
  }
  return text;
}

const Metric& find_metric(const std::string& name) {
  std::string known;
  for (const Metric& metric : kMetrics) {
    if (name == metric.name || name == metric.dataset().substr(1)) {
      return metric;
    }
    known += (known.empty() ? "" : ", ") + metric.dataset().substr(1);
  }
  throw Error("unknown metric '" + name + "'; expected one of " + known);
}

std::vector<std::string> layer_names(const RunDescription& run, const Metric& metric) {
  std::vector<std::string> names;
  if (std::string_view(metric.group) == "nodes") {
    for (const auto& layer : run.node_layers) {
      names.push_back(layer.name);
    }
  } else {
    for (const auto& layer : run.weight_layers) {
      names.push_back(layer.name);
    }
  }
  return names;
}

std::vector<int64_t> rows_of_epochs(const RunRows& index, int64_t first_epoch, int64_t last_epoch) {
  std::vector<int64_t> rows;
  for (size_t row = 0; row < index.epoch.size(); ++row) {
    const bool newest = row + 1 == index.epoch.size() || index.epoch[row + 1] != index.epoch[row];
    if (newest && index.epoch[row] >= first_epoch && index.epoch[row] <= last_epoch) {
      rows.push_back(static_cast<int64_t>(row));
    }
  }
  return rows;
}

std::vector<double> read_rows(const RunFile& run, const std::string& dataset, const std::vector<int64_t>& rows,
                              size_t columns) {
  constexpr int64_t kBlock = 4096;
  std::vector<double> chosen;
  std::vector<double> block;
  int64_t begin = 0;
  int64_t end = 0;
  for (const int64_t row : rows) {
    if (row < begin || row >= end) {
      begin = row;
      end = std::min(row + kBlock, rows.back() + 1);
      block = run.read(dataset, begin, end - begin);
      if (block.size() != static_cast<size_t>(end - begin) * columns) {
        throw Error(dataset + " must hold " + std::to_string(columns) + " values per row, got " +
                    std::to_string(block.size()) + " in " + std::to_string(end - begin) + " rows; the file is damaged");
      }
    }
    const auto from = block.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(row - begin) * columns);
    chosen.insert(chosen.end(), from, from + static_cast<std::ptrdiff_t>(columns));
  }
  return chosen;
}

void print_json(std::ostream& out, const nlohmann::ordered_json& value) {
  out << value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

}  // namespace dynascope::cli
