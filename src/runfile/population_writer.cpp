// SPDX-License-Identifier: BSD-3-Clause
#include "growing_file.hpp"

#include <dynascope/error.hpp>
#include <dynascope/population_file.hpp>

#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <utility>

namespace dynascope {

class PopulationWriter::Impl {
 public:
  Impl(std::string path, PopulationOptions options) : file(std::move(path), options.fsync()), options_(options) {}

  void open(const RunDescription& description) {
    const RowLayout layout(description);
    std::error_code ignored;
    if (!options_.resume() || !std::filesystem::exists(file.path(), ignored)) {
      file.create(description, layout, options_.overwrite(), GrowingFile<Member>::Created::kInOneStep);
      return;
    }
    file.resume(description, layout, "resumed",
                {[this](const Member& member) {
                   known.emplace(member.net, member.epoch);
                   return true;
                 },
                 {}});
  }

  void write(const std::vector<Member>& members) {
    for (size_t i = 0; i < members.size(); ++i) {
      const Member& member = members[i];
      if (!known.emplace(member.net, member.epoch).second) {
        for (size_t k = 0; k < i; ++k) {
          known.erase({members[k].net, members[k].epoch});
        }
        throw Error("network " + std::to_string(member.net) + " at epoch " + std::to_string(member.epoch) + " is in " +
                    file.path() + " already; each member is written once");
      }
    }
    file.write(members);
  }

  GrowingFile<Member> file;
  std::set<std::pair<int64_t, int64_t>> known;

 private:
  PopulationOptions options_;
};

PopulationWriter::PopulationWriter(std::string path, PopulationOptions options)
    : impl_(std::make_unique<Impl>(std::move(path), options)) {}
PopulationWriter::~PopulationWriter() = default;

void PopulationWriter::open(const RunDescription& description) { impl_->open(description); }
bool PopulationWriter::has(int64_t net, int64_t epoch) const { return impl_->known.count({net, epoch}) == 1; }
void PopulationWriter::write(const std::vector<Member>& members) { impl_->write(members); }
void PopulationWriter::flush() { impl_->file.flush(); }
void PopulationWriter::close() { impl_->file.close(); }

}  // namespace dynascope
