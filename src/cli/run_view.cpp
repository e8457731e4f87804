// SPDX-License-Identifier: BSD-3-Clause
#include "run_view.hpp"

#include "format.hpp"

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

int64_t epoch_number(const std::string& text, const std::string& whole) {
  size_t used = 0;
  int64_t value = -1;
  try {
    value = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value < 0) {
    throw Error("--epochs must be A:B, A:, :B or A with whole numbers from 0, got '" + whole + "'");
  }
  return value;
}

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

std::vector<size_t> pick_layers(const std::string& path, const std::vector<std::string>& names,
                                const std::vector<std::string>& wanted, const std::string& metric) {
  const auto no_layer = [&](const std::string& name) {
    return path + ": no layer '" + name + "' with metric " + metric + "; there are: " + printable(joined(names));
  };
  std::vector<size_t> picked;
  for (const std::string& name : wanted) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      throw Error(no_layer(name));
    }
    picked.push_back(static_cast<size_t>(found - names.begin()));
  }
  for (size_t i = 0; wanted.empty() && i < names.size(); ++i) {
    picked.push_back(i);
  }
  return picked;
}

EpochRange parse_epochs(const std::string& text) {
  EpochRange range;
  if (text.empty()) {
    return range;
  }
  const size_t colon = text.find(':');
  const std::string first = text.substr(0, colon);
  const std::string last = colon == std::string::npos ? first : text.substr(colon + 1);
  if (!first.empty() || colon == std::string::npos || last.empty()) {
    range.first = epoch_number(first, text);
  }
  if (!last.empty()) {
    range.last = epoch_number(last, text);
  }
  if (range.first > range.last) {
    throw Error("--epochs A:B must have A no greater than B, got '" + text + "'");
  }
  return range;
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

void require_size(const std::string& dataset, const std::vector<double>& values, int64_t rows, int64_t columns) {
  if (static_cast<int64_t>(values.size()) != rows * columns) {
    throw Error(dataset + " must hold " + std::to_string(columns) + " values per row, got " +
                std::to_string(values.size()) + " in " + std::to_string(rows) + " rows; the file is damaged");
  }
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
      require_size(dataset, block, end - begin, static_cast<int64_t>(columns));
    }
    const auto from = block.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(row - begin) * columns);
    chosen.insert(chosen.end(), from, from + static_cast<std::ptrdiff_t>(columns));
  }
  return chosen;
}

void add_row_keys(nlohmann::ordered_json& json, const RunRows& index, const std::vector<int64_t>& rows) {
  for (const char* key : {"row", "epoch", "step", "epoch_end", "time"}) {
    json[key] = nlohmann::ordered_json::array();
  }
  for (const int64_t row : rows) {
    const auto i = static_cast<size_t>(row);
    json["row"].push_back(row);
    json["epoch"].push_back(index.epoch[i]);
    json["step"].push_back(index.step[i]);
    json["epoch_end"].push_back(static_cast<bool>(index.epoch_end[i]));
    json["time"].push_back(index.time[i]);
  }
}

void print_json(std::ostream& out, const nlohmann::ordered_json& value) {
  out << value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

}  // namespace dynascope::cli
