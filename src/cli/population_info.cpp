// SPDX-License-Identifier: BSD-3-Clause
#include "population_info.hpp"

#include "described.hpp"
#include "format.hpp"
#include "placement.hpp"
#include "run_view.hpp"

#include <dynascope/population_file.hpp>
#include <dynascope/row_layout.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <system_error>
#include <vector>

namespace dynascope::cli {
namespace {

// Members with a link weight or node strength that is not finite.
int64_t count_non_finite(const PopulationFile& file) {
  constexpr int64_t kBlock = 4096;
  int64_t count = 0;
  for (int64_t first = 0; first < file.members(); first += kBlock) {
    const int64_t members = std::min(kBlock, file.members() - first);
    std::vector<bool> bad(static_cast<size_t>(members));
    for (const char* path : {"/links/nonfinite", "/nodes/nonfinite"}) {
      const auto values = file.read(path, first, members);
      const size_t layers = values.size() / bad.size();
      for (size_t i = 0; i < values.size(); ++i) {
        bad[i / layers] = bad[i / layers] || values[i] > 0;
      }
    }
    count += std::count(bad.begin(), bad.end(), true);
  }
  return count;
}

Json scalar_json(std::vector<double> values) {
  const auto last = std::remove_if(values.begin(), values.end(), [](double value) { return std::isnan(value); });
  const auto nans = values.end() - last;
  values.erase(last, values.end());
  Json json{{"min", nullptr}, {"median", nullptr}, {"max", nullptr}, {"nan", nans}};
  if (!values.empty()) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    json["min"] = *least;
    json["max"] = *most;
    json["median"] = median(values);
  }
  return json;
}

Json members_json(const PopulationFile& file) {
  const MemberIndex index = file.index();
  const auto& epochs = index.epoch;
  Json members{{"count", file.members()},
               {"nets", std::set<int64_t>(index.net.begin(), index.net.end()).size()},
               {"last_epoch", epochs.empty() ? 0 : *std::max_element(epochs.begin(), epochs.end())},
               {"non_finite", count_non_finite(file)},
               {"bytes_each", RowLayout(file.description()).bytes()},
               {"scalars", Json::object()}};
  for (const auto& key : file.description().scalars) {
    members["scalars"][key] = scalar_json(file.scalar(key));
  }
  return members;
}

Json gather(const std::string& path) {
  const PopulationFile file(path);
  const Json layers = layers_json(file.description());
  std::error_code unknown;
  return {{"population", path},
          {"bytes", std::filesystem::file_size(path, unknown)},
          {"provenance", provenance_json(file)},
          {"options", options_json(file.description())},
          {"members", members_json(file)},
          {"node_layers", layers["nodes"]},
          {"weight_layers", layers["links"]},
          {"placement", placement_json(file.description())},
          {"skipped", skipped_json(file.description())}};
}

std::string range_text(const Json& scalar) {
  if (scalar["median"].is_null()) {
    return "no number";
  }
  const auto nans = scalar["nan"].get<int64_t>();
  return number(scalar["min"].get<double>()) + " to " + number(scalar["max"].get<double>()) + ", median " +
         number(scalar["median"].get<double>()) + (nans > 0 ? ", nan in " + std::to_string(nans) : "");
}

void print(const Output& output, const Json& info) {
  const Json& members = info["members"];
  print_origin(output, info, "population", "still growing");
  print_line(output, "members",
             std::to_string(members["count"].get<int64_t>()) + ", of " +
                 std::to_string(members["nets"].get<int64_t>()) + " nets, up to epoch " +
                 std::to_string(members["last_epoch"].get<int64_t>()) + "; " +
                 std::to_string(members["bytes_each"].get<int64_t>()) + " bytes of values each");
  print_line(output, "non-finite", std::to_string(members["non_finite"].get<int64_t>()) + " members");
  print_line(output, "in the graph", placement_text(info["placement"]));
  print_layers(output, info);
  Table scalars;
  scalars.column("scalar", Align::kLeft);
  scalars.column("values", Align::kLeft);
  for (const auto& [key, values] : members["scalars"].items()) {
    scalars.row({printable(key), range_text(values)});
  }
  print_section(output, "Scalars", scalars);
}

}  // namespace

bool is_population(const std::string& path) {
  std::error_code ignored;
  // What is no regular file is left to open_run, which says what it is.
  return std::filesystem::is_regular_file(path, ignored) && schema_of(path) == "dynascope-population";
}

int print_population(const std::string& path, bool json, const Output& output) {
  const Json info = gather(path);
  if (json) {
    print_json(output.data, info);
  } else {
    print(output, info);
  }
  return 0;
}

}  // namespace dynascope::cli
