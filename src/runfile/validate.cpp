// SPDX-License-Identifier: BSD-3-Clause
#include "declared.hpp"
#include "findings.hpp"
#include "in_file.hpp"
#include "input_file.hpp"
#include "object_rules.hpp"
#include "read_description.hpp"
#include "row_reader.hpp"
#include "schema.hpp"

#include <dynascope/validate.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace dynascope {
namespace {

struct RootText {
  const char* name;
  const char* pattern;  ///< of all of it
};

// Attributes of "/": every one must be there, and no other but ddof.
constexpr RootText kRootTexts[] = {
    {"schema", "dynascope-[a-z]+"},
    {"schema_version", "1\\.0"},
    {"definitions_version", "\\d+\\.\\d+"},
    {"creator_version", "\\d+\\.\\d+\\.\\d+"},
    {"created", "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ"},
    {"run_id", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"},
    {"host", ""},
    {"command", ""},
    {"torch_version", ""},
    {"device", ""},
    {"backend", "cpu|cuda"},
    {"bias", "in|none"},
    {"boundary", "one|zero"},
    {"padding", "true-edges|all-taps"},
    {"granularity", "unit|channel"},
    {"config", ""},
    {"title", ""},
    {"source", ""},
    {"history", ""},
    {"Conventions", "CF-1\\.\\d+"},
};

void check_root_text(const h5::InputFile& file, const RootText& wanted, Findings& findings) {
  const auto text = file.text(file.get(), "/", wanted.name);
  const std::string what = "attribute " + std::string(wanted.name);
  if (!findings.require(text.has_value(), "/", what + " is missing")) {
    return;
  }
  // std::regex overflows the stack on long texts; those with a pattern are short.
  const bool any = *wanted.pattern == '\0';
  const bool fits = any ? !text->empty() : text->size() < 100 && std::regex_match(*text, std::regex(wanted.pattern));
  findings.require(fits, "/",
                   what + (any ? " must not be empty" : " must be like " + std::string(wanted.pattern)) + ", is '" +
                       text->substr(0, 100) + "'");
}

void check_root(const h5::InputFile& file, const FileKind& kind, Findings& findings) {
  std::set<std::string> known{"ddof"};
  for (const RootText& wanted : kRootTexts) {
    known.insert(wanted.name);
    findings.attempt("/", [&] { check_root_text(file, wanted, findings); });
  }
  findings.attempt("/", [&] {
    findings.require(file.integers(file.get(), "/", "ddof") == std::vector<int64_t>{0}, "/",
                     "attribute ddof must be the integer 0");
    for (const std::string& name : h5::attribute_names(file.get())) {
      findings.require(known.count(name) == 1, "/", "attribute " + name + " is not part of a " + kind.name);
    }
    const auto config = nlohmann::json::parse(file.text(file.get(), "/", "config").value_or("{}"), nullptr, false);
    findings.require(config.is_object(), "/", "attribute config must be a JSON object");
  });
  const int version = file.superblock_version();
  findings.require(version == 3, "/", "the superblock must be of version 3, is of " + std::to_string(version));
}

// Rows are told by their position; the first that breaks a rule speaks for all.
template <class Rule>
void each_row(size_t rows, const std::string& object, const std::string& message, Findings& findings, Rule rule) {
  for (size_t row = 0; row < rows; ++row) {
    if (!findings.require(rule(row), object, message + ", row " + std::to_string(row) + " does not")) {
      return;
    }
  }
}

void check_rows(const h5::InputFile& file, uint64_t rows, Findings& findings) {
  const auto integers = [&](const char* path) { return file.read_rows<int64_t>(file.open_rows(path, {}), 0, rows); };
  const auto numbers = [&](const char* path) { return file.read_rows<double>(file.open_rows(path, {}), 0, rows); };
  const auto step = integers("/step");
  const auto epoch = integers("/epoch");
  const auto end = integers("/epoch_end");
  const auto time = numbers("/time");
  const auto check = [&](const char* object, const char* message, auto rule) {
    each_row(rows, object, message, findings, rule);
  };
  check("/step", "must not fall, from 0", [&](size_t i) { return step[i] >= (i == 0 ? 0 : step[i - 1]); });
  check("/epoch", "must not fall, from 0", [&](size_t i) { return epoch[i] >= (i == 0 ? 0 : epoch[i - 1]); });
  check("/epoch", "must be 0 in row 0 only", [&](size_t i) { return (epoch[i] == 0) == (i == 0) || step[0] != 0; });
  check("/epoch", "must grow when step does not: (step, epoch) pairs are unique",
        [&](size_t i) { return i == 0 || step[i] != step[i - 1] || epoch[i] != epoch[i - 1]; });
  check("/epoch", "must grow after a row that closes an epoch",
        [&](size_t i) { return i == 0 || end[i - 1] != 1 || epoch[i] > epoch[i - 1]; });
  check("/epoch_end", "must be 0 or 1, and 1 in row 0",
        [&](size_t i) { return end[i] == 1 || (end[i] == 0 && i > 0); });
  check("/time", "must not fall, from 0", [&](size_t i) { return time[i] >= (i == 0 ? 0 : time[i - 1]); });
  const auto snapshot = numbers("/cost/snapshot");
  check("/cost/snapshot", "must be 0 or more", [&](size_t i) { return snapshot[i] >= 0; });
  const auto dropped = integers("/cost/dropped");
  check("/cost/dropped", "must be 0 or more", [&](size_t i) { return dropped[i] >= 0; });
}

void check_events(const std::vector<Event>& events, Findings& findings) {
  each_row(events.size(), "/events/step", "must be 0 or more", findings, [&](size_t i) { return events[i].step >= 0; });
  each_row(events.size(), "/events/time", "must be 0 or more", findings, [&](size_t i) { return events[i].time >= 0; });
}

void check_members(const h5::InputFile& file, uint64_t rows, Findings& findings) {
  const auto column = [&](const char* path) { return file.read_rows<int64_t>(file.open_rows(path, {}), 0, rows); };
  const auto position = column("/member/member");
  each_row(rows, "/member/member", "must count from 0", findings,
           [&](size_t i) { return position[i] == static_cast<int64_t>(i); });
  for (const char* path : {"/member/net", "/member/epoch", "/member/step"}) {
    const auto values = column(path);
    each_row(rows, path, "must be 0 or more", findings, [&](size_t i) { return values[i] >= 0; });
  }
  const auto net = column("/member/net");
  const auto epoch = column("/member/epoch");
  std::set<std::pair<int64_t, int64_t>> seen;
  each_row(rows, "/member/epoch", "must differ between members of one net", findings,
           [&](size_t i) { return seen.emplace(net[i], epoch[i]).second; });
  const auto seed = column("/member/seed");
  std::map<int64_t, int64_t> seeds;
  each_row(rows, "/member/seed", "must be the same in all members of a net", findings,
           [&](size_t i) { return seeds.emplace(net[i], seed[i]).first->second == seed[i]; });
}

std::vector<Violation> check_file(const std::string& path) {
  const h5::InputFile file(path);
  const FileKind& kind = read_kind(file);
  read_provenance(file, kind);
  Findings findings(path);
  check_root(file, kind, findings);
  uint64_t rows = 0;
  std::vector<Event> events;
  findings.attempt("/committed", [&] { rows = committed_rows(file, kind); });
  if (kind.one_training) {
    findings.attempt("/events/code", [&] { events = read_events(file); });
  }
  const Declaration declaration = declare(file, kind, findings);
  findings.attempt("/", [&] { check_objects(file, declaration, rows, events.size(), findings); });
  findings.attempt(kind.scale(),
                   [&] { kind.one_training ? check_rows(file, rows, findings) : check_members(file, rows, findings); });
  check_events(events, findings);
  if (findings.list().empty()) {
    // The reader's own checks, so that nothing it refuses passes for valid.
    findings.attempt("/", [&] { RowLayout(read_description(file, kind)); });
  }
  return findings.list();
}

}  // namespace

std::vector<Violation> validate(const std::string& path) {
  return in_file(path, [&] { return check_file(path); });
}

}  // namespace dynascope
