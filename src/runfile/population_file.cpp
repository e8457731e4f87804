// SPDX-License-Identifier: BSD-3-Clause
#include "in_file.hpp"
#include "rows_file.hpp"

#include <dynascope/population_file.hpp>

namespace dynascope {

class PopulationFile::Impl final : public RowsFile {
 public:
  explicit Impl(const std::string& path) : RowsFile(path, kind_of<Member>()) {}

  MemberIndex index() const {
    return {column<int64_t>("/member/net"), column<int64_t>("/member/epoch"), column<int64_t>("/member/step"),
            column<int64_t>("/member/seed")};
  }
};

PopulationFile::PopulationFile(const std::string& path)
    : impl_(in_file(path, [&] { return std::make_unique<Impl>(path); })) {}

PopulationFile::~PopulationFile() {
  const h5::Silence silence;
  impl_.reset();
}

PopulationFile::PopulationFile(PopulationFile&&) noexcept = default;
PopulationFile& PopulationFile::operator=(PopulationFile&&) noexcept = default;

const RunDescription& PopulationFile::description() const noexcept { return impl_->description(); }
const RunProvenance& PopulationFile::provenance() const noexcept { return impl_->provenance(); }
int64_t PopulationFile::members() const noexcept { return impl_->rows(); }
bool PopulationFile::in_progress() const noexcept { return impl_->in_progress(); }
bool PopulationFile::has_writer() const { return impl_->has_writer(); }

bool PopulationFile::refresh() {
  return in_file(impl_->path(), [&] { return impl_->refresh(); });
}

MemberIndex PopulationFile::index() const {
  return in_file(impl_->path(), [&] { return impl_->index(); });
}

std::vector<double> PopulationFile::scalar(std::string_view key) const {
  return in_file(impl_->path(), [&] { return impl_->scalar(key); });
}

std::vector<double> PopulationFile::read(std::string_view path, int64_t first, int64_t count) const {
  return in_file(impl_->path(), [&] { return impl_->read(path, first, count); });
}

size_t PopulationFile::node_layer(std::string_view name) const { return impl_->node_layer(name); }

std::string schema_of(const std::string& path) {
  return in_file(path, [&] {
    const h5::InputFile file(path);
    const auto schema = file.text(file.get(), "/", "schema");
    if (!schema) {
      file.refuse("it has no attribute schema, so it is no file of Dynascope's");
    }
    return *schema;
  });
}

}  // namespace dynascope
