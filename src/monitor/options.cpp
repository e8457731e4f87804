// SPDX-License-Identifier: BSD-3-Clause
#include "options.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace dynascope::monitor {
namespace {

using Json = nlohmann::ordered_json;

const char* text(Histogram value) {
  return value == Histogram::kOff ? "off" : value == Histogram::kEveryRow ? "every-row" : "epoch-ends";
}
const char* text(Fsync value) { return value == Fsync::kNever ? "never" : value == Fsync::kEpoch ? "epoch" : "close"; }
const char* text(WhenFull value) { return value == WhenFull::kBlock ? "block" : "drop"; }

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument("MonitorOptions::" + what); }

void check_at_least(const char* name, int64_t value, int64_t least) {
  if (value < least) {
    refuse(std::string(name) + " must be " + std::to_string(least) + " or more, got " + std::to_string(value));
  }
}

std::regex compiled(const char* name, const std::string& pattern) {
  try {
    return std::regex(pattern, std::regex::ECMAScript);
  } catch (const std::regex_error& error) {
    refuse(std::string(name) + " must be a regular expression (ECMAScript), got '" + pattern + "': " + error.what());
  }
}

void check_scalars(const std::vector<std::string>& keys) {
  for (auto key = keys.begin(); key != keys.end(); ++key) {
    if (key->empty()) {
      refuse("scalars: a key must not be empty");
    }
    if (std::find(keys.begin(), key, *key) != key) {
      refuse("scalars: keys must differ, got '" + *key + "' twice");
    }
  }
}

Json user_config(const MonitorOptions& options) {
  if (options.config().empty()) {
    return Json::object();
  }
  Json user = Json::parse(options.config(), nullptr, false);
  if (!user.is_object()) {
    refuse("config must be a JSON object such as {\"lr\": 0.1}, got '" + options.config() + "'");
  }
  return user;
}

}  // namespace

void check(const MonitorOptions& options) {
  if (options.path().empty() && !options.sink()) {
    refuse("path must not be empty without a sink");
  }
  check_at_least("every_n_steps", options.every_n_steps(), 0);
  if (!(options.overhead_budget() >= 0 && options.overhead_budget() < 1)) {
    refuse("overhead_budget must be a share of the training time from 0 to below 1, got " +
           std::to_string(options.overhead_budget()));
  }
  check_at_least("resume", options.resume(), -1);
  if (options.resume() >= 0 && (options.sink() || options.overwrite())) {
    refuse("resume goes on with the run file of path, which " +
           std::string(options.sink() ? "a sink of your own is not" : "overwrite would replace"));
  }
  if (options.buffered_rows() != 0) {
    check_at_least("buffered_rows", options.buffered_rows(), 2);
  }
  check_at_least("histogram_bins", options.histogram_bins(), 1);
  compiled("include", options.include());
  compiled("exclude", options.exclude());
  check_scalars(options.scalars());
  user_config(options);
}

std::string config_json(const MonitorOptions& options, int64_t parameters, int64_t measured) {
  Json monitor;
  monitor["every_n_steps"] = options.every_n_steps();
  monitor["schedule"] = schedule(options).describe();
  monitor["overhead_budget"] = options.overhead_budget();
  monitor["include"] = options.include();
  monitor["exclude"] = options.exclude();
  monitor["select"] = options.select() ? "a function of the program" : "";
  monitor["bias"] = to_string(options.metrics().bias());
  monitor["boundary"] = to_string(options.metrics().boundary());
  monitor["padding"] = to_string(options.metrics().padding());
  monitor["granularity"] = to_string(options.metrics().granularity());
  monitor["components"] = options.components();
  monitor["histogram"] = text(options.histogram());
  monitor["histogram_bins"] = options.histogram_bins();
  monitor["record_parameters"] = options.record_parameters();
  monitor["scalars"] = options.scalars();
  monitor["overwrite"] = options.overwrite();
  monitor["fsync"] = text(options.fsync());
  monitor["buffered_rows"] = options.buffered_rows();
  monitor["when_full"] = text(options.when_full());
  const Json config = {{"monitor", monitor},
                       {"parameters", {{"all", parameters}, {"measured", measured}}},
                       {"user", user_config(options)}};
  return config.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Schedule schedule(const MonitorOptions& options) {
  Schedule all = options.schedule();
  if (options.every_n_steps() > 0) {
    all.every(options.every_n_steps());
  }
  return all;
}

std::function<bool(const std::string& path)> path_filter(const MonitorOptions& options) {
  return [include = compiled("include", options.include()), exclude = compiled("exclude", options.exclude()),
          excludes = !options.exclude().empty(), wanted = options.select()](const std::string& path) {
    return std::regex_search(path, include) && !(excludes && std::regex_search(path, exclude)) &&
           (!wanted || wanted(path));
  };
}

}  // namespace dynascope::monitor
