// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "table.hpp"
#include "verb.hpp"

#include <dynascope/run_description.hpp>
#include <dynascope/run_file.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

// What `info` says of run and population files alike.
namespace dynascope::cli {

using Json = nlohmann::ordered_json;

/// @param file  a RunFile or PopulationFile
template <class File>
Json provenance_json(const File& file) {
  const RunProvenance& from = file.provenance();
  const RunDescription& what = file.description();
  return {{"run_id", from.run_id},
          {"created", from.created},
          {"host", from.host},
          {"command", from.command},
          {"title", what.title},
          {"source", what.source},
          {"schema_version", from.schema_version},
          {"definitions_version", from.definitions_version},
          {"creator_version", from.creator_version},
          {"torch_version", what.torch_version},
          {"device", what.device},
          {"backend", what.backend},
          {"in_progress", file.in_progress()},
          {"has_writer", file.has_writer()}};
}

/// Definitions, what is stored, and what the file keeps of the program's own options.
Json options_json(const RunDescription& what);
/// The arrays `nodes` and `links`.
Json layers_json(const RunDescription& what);
Json skipped_json(const RunDescription& what);

double median(std::vector<double> values);

std::string text_of(const Json& value);

/// A line of the summary; none where `value` is empty.
void print_line(const Output& output, const std::string& key, const std::string& value);
/// The lines from the path to the device. @param whole  "run" or "population": the key of the path in `info`
/// @param doing  what its writer does while it lives
void print_origin(const Output& output, const Json& info, const char* whole, const char* doing);
void print_section(const Output& output, const std::string& title, const Table& table);
/// Tables of node layers, weight layers and of what was skipped.
void print_layers(const Output& output, const Json& info);

}  // namespace dynascope::cli
