// SPDX-License-Identifier: BSD-3-Clause
#include "monitor/options.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>

namespace dynascope::monitor {
namespace {

std::string refusal(const MonitorOptions& options) {
  try {
    check(options);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(MonitorOptionsCheck, SaysWhichOptionMakesNoSense) {
  EXPECT_EQ(refusal(MonitorOptions("run.h5")), "");
  EXPECT_EQ(refusal(MonitorOptions("")), "MonitorOptions::path must not be empty without a sink");
  EXPECT_EQ(refusal(MonitorOptions().every_n_steps(-1)), "MonitorOptions::every_n_steps must be 0 or more, got -1");
  EXPECT_EQ(refusal(MonitorOptions().buffered_rows(1)), "MonitorOptions::buffered_rows must be 2 or more, got 1");
  EXPECT_EQ(refusal(MonitorOptions().histogram_bins(0)), "MonitorOptions::histogram_bins must be 1 or more, got 0");
  EXPECT_EQ(refusal(MonitorOptions().scalars({"loss", "loss"})),
            "MonitorOptions::scalars: keys must differ, got 'loss' twice");
  EXPECT_EQ(refusal(MonitorOptions().scalars({""})), "MonitorOptions::scalars: a key must not be empty");
  EXPECT_NE(refusal(MonitorOptions().include("fc[")).find("include must be a regular expression"), std::string::npos);
  EXPECT_NE(refusal(MonitorOptions().exclude("(")).find("exclude must be a regular expression"), std::string::npos);
  for (const char* config : {"[1, 2]", "{\"lr\": }", "3", "lr=0.1"}) {
    EXPECT_NE(refusal(MonitorOptions().config(config)).find("config must be a JSON object"), std::string::npos)
        << config;
  }
}

TEST(MonitorOptionsConfig, HoldsAllOptionsAndTheUsersOwn) {
  const auto config = nlohmann::json::parse(config_json(MonitorOptions("run.h5")
                                                            .every_n_steps(7)
                                                            .padding(Padding::kAllTaps)
                                                            .when_full(WhenFull::kDrop)
                                                            .scalars({"loss"})
                                                            .config("{\"lr\": 0.1}"),
                                                        160, 119));
  EXPECT_EQ(config["user"]["lr"], 0.1);
  EXPECT_EQ(config["parameters"]["all"], 160);
  EXPECT_EQ(config["parameters"]["measured"], 119);
  EXPECT_EQ(config["monitor"]["every_n_steps"], 7);
  EXPECT_EQ(config["monitor"]["padding"], "all-taps");
  EXPECT_EQ(config["monitor"]["when_full"], "drop");
  EXPECT_EQ(config["monitor"]["scalars"][0], "loss");
  EXPECT_EQ(nlohmann::json::parse(config_json(MonitorOptions(), 0, 0))["user"], nlohmann::json::object());
}

TEST(MonitorOptionsFilter, IncludeAndExcludeSearchThePath) {
  const auto both = path_filter(MonitorOptions().include("layer1|fc").exclude("\\.bias$"));
  EXPECT_TRUE(both("layer1.0.weight"));
  EXPECT_FALSE(both("layer1.0.bias"));
  EXPECT_FALSE(both("layer2.0.weight"));
  EXPECT_TRUE(path_filter(MonitorOptions())("anything"));
}

}  // namespace
}  // namespace dynascope::monitor
