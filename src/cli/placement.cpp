// SPDX-License-Identifier: BSD-3-Clause
#include "placement.hpp"

#include "format.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace dynascope::cli {
namespace {

bool begins(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

/// Which list of the diagnosis a skipped name belongs to; empty: a layer, which the reason explains.
std::string kind_of(const SkippedInfo& skipped) {
  if (skipped.name.find("::") != std::string::npos) {
    return "operators";
  }
  if (begins(skipped.reason, "no operator used it") || begins(skipped.reason, "used by ")) {
    return "parameters";
  }
  return begins(skipped.reason, "a returned tensor") ? "outputs" : "";
}

// Rounded down: 100 % means all.
std::string percent(double share) {
  const auto tenths = static_cast<int>(std::floor(share * 1000));
  return std::to_string(tenths / 10) + (tenths % 10 != 0 ? "." + std::to_string(tenths % 10) : "") + " %";
}

}  // namespace

nlohmann::ordered_json parameters_json(const RunDescription& what) {
  const auto known = [](int64_t count) { return count >= 0 ? nlohmann::ordered_json(count) : nullptr; };
  return {{"all", known(what.parameter_count)}, {"measured", known(what.measured_count)}};
}

std::string parameters_text(const nlohmann::ordered_json& parameters) {
  if (parameters["all"].is_null() || parameters["measured"].is_null()) {
    return "";
  }
  const auto all = parameters["all"].get<int64_t>(), measured = parameters["measured"].get<int64_t>();
  return std::to_string(measured) + " of " + std::to_string(all) + " parameters" +
         (all > 0 ? " (" + percent(static_cast<double>(measured) / static_cast<double>(all)) + ")" : "");
}

nlohmann::ordered_json placement_json(const RunDescription& what) {
  std::vector<bool> links(what.weight_layers.size(), false);
  for (const auto& arrow : what.connections) {
    if (arrow.link >= 0 && static_cast<size_t>(arrow.link) < links.size()) {
      links[static_cast<size_t>(arrow.link)] = true;
    }
  }
  double all = 0, placed = 0;
  for (size_t i = 0; i < links.size(); ++i) {
    const auto count = static_cast<double>(what.weight_layers[i].count);
    all += count;
    placed += links[i] ? count : 0;
  }
  nlohmann::ordered_json result{{"share", nullptr},
                                {"parameters", nlohmann::ordered_json::array()},
                                {"operators", nlohmann::ordered_json::array()},
                                {"outputs", nlohmann::ordered_json::array()}};
  if (all > 0) {
    result["share"] = placed / all;
  }
  for (const SkippedInfo& skipped : what.skipped) {
    const std::string kind = kind_of(skipped);
    if (!kind.empty() && std::find(result[kind].begin(), result[kind].end(), skipped.name) == result[kind].end()) {
      result[kind].push_back(skipped.name);
    }
  }
  return result;
}

std::string placement_text(const nlohmann::ordered_json& placement) {
  if (placement["share"].is_null()) {
    return "";
  }
  std::string text = percent(placement["share"].get<double>()) + " of the weights";
  const auto add = [&](const char* kind, const std::string& one, const std::string& many) {
    const auto& names = placement[kind];
    if (names.empty()) {
      return;
    }
    text += ", " + std::to_string(names.size()) + " " + (names.size() == 1 ? one : many) + " (";
    constexpr size_t kShown = 3;
    for (size_t i = 0; i < names.size() && i < kShown; ++i) {
      text += (i == 0 ? "" : ", ") + printable(names[i].get_ref<const std::string&>());
    }
    text += names.size() > kShown ? ", ...)" : ")";
  };
  add("parameters", "parameter in no layer", "parameters in no layer");
  add("operators", "operator not understood", "operators not understood");
  add("outputs", "output not reached", "outputs not reached");
  return text;
}

}  // namespace dynascope::cli
