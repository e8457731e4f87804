// SPDX-License-Identifier: BSD-3-Clause
#include "append.hpp"
#include "create.hpp"
#include "in_file.hpp"
#include "input_file.hpp"
#include "output_file.hpp"
#include "provenance.hpp"
#include "read_description.hpp"
#include "row_reader.hpp"
#include "schema.hpp"

#include <dynascope/error.hpp>
#include <dynascope/recover.hpp>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace dynascope {
namespace {

// Copies rows until the first that cannot be read, which `recovered` then tells.
template <class R>
void copy_rows(RowReader<R>& from, Appender<R>& to, h5::OutputFile& file, Recovered& recovered) {
  const auto committed = static_cast<uint64_t>(recovered.committed);
  uint64_t at_once = from.rows_at_once();
  while (to.rows() < committed) {
    const uint64_t count = std::min(at_once, committed - to.rows());
    const std::vector<R>* rows = nullptr;
    try {
      rows = &from.rows(to.rows(), count);
    } catch (const Error& error) {
      if (count == 1) {
        recovered.damage = error.what();
        break;
      }
      at_once = 1;
      continue;
    }
    to.append(*rows);
    file.check();
  }
}

template <class R>
void copy_events(const h5::InputFile& from, Appender<R>& to, Recovered& recovered) {
  std::vector<Event> events;
  try {
    events = read_events(from);
  } catch (const Error& error) {
    recovered.damage += (recovered.damage.empty() ? "" : "; ") + std::string(error.what());
  }
  to.append(events);
  to.append_codes(events);
  recovered.events = static_cast<int64_t>(events.size());
}

template <class R>
Recovered copy(const h5::InputFile& run, h5::OutputFile& file, const RecoverOptions& options) {
  const FileKind& kind = kind_of<R>();
  const RunProvenance provenance = read_provenance(run, kind);
  if (provenance.schema_version != kind.version) {
    run.refuse("it follows schema version " + provenance.schema_version + ", and a copy would follow " + kind.version +
               "; use the Dynascope that wrote it");
  }
  const RunDescription description = read_description(run, kind);
  const RowLayout layout(description);
  Recovered recovered;
  recovered.committed = static_cast<int64_t>(committed_rows(run, kind));
  recovered.uncommitted = static_cast<int64_t>(run.open_rows(kind.scale(), {}).dims[0]) - recovered.committed;
  create_whole(file.get(), kind, description, layout, provenance::continued(provenance, "recovered"),
               options.compress() ? h5::kArchive : h5::kLive);
  Appender<R> appender(file.get(), description, layout);
  RowReader<R> reader(run, description, layout);
  copy_rows(reader, appender, file, recovered);
  if (kind.one_training) {
    copy_events(run, appender, recovered);
  }
  appender.commit();
  recovered.rows = static_cast<int64_t>(appender.rows());
  return recovered;
}

}  // namespace

Recovered recover(const std::string& run, const std::string& to, const RecoverOptions& options) {
  return in_file(run, [&] {
    const h5::InputFile from(run);
    // Under another name until it is whole.
    const std::string path = make_room(to, false);
    const std::string part = make_room(path + ".part", true);
    h5::OutputFile file(part);
    try {
      Recovered recovered =
          read_kind(from).one_training ? copy<Row>(from, file, options) : copy<Member>(from, file, options);
      file.close();
      sync_to_disk(part);
      std::filesystem::rename(part, make_room(to, false));
      return recovered;
    } catch (const std::filesystem::filesystem_error& error) {
      throw Error(error.what());
    } catch (...) {
      std::error_code ignored;
      std::filesystem::remove(part, ignored);
      throw;
    }
  });
}

}  // namespace dynascope
