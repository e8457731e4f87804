// SPDX-License-Identifier: BSD-3-Clause
#include "target_file.hpp"

#include <dynascope/error.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <unistd.h>
#include <vector>

namespace dynascope::cli {
namespace {

constexpr size_t kBuffer = size_t{1} << 16;

}  // namespace

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    bytes.remove_prefix(written > 0 ? static_cast<size_t>(written) : 0);
  }
  return true;
}

TargetFile::TargetFile(std::string path) : path_(std::move(path)) {
  if (path_ == "-") {
    file_.reset(std::tmpfile());
  } else {
    std::error_code ignored;
    const auto kind = std::filesystem::status(path_, ignored).type();
    const bool in_place = kind != std::filesystem::file_type::not_found && kind != std::filesystem::file_type::regular;
    part_ = in_place ? "" : path_ + ".part";
    file_.reset(std::fopen((in_place ? path_ : part_).c_str(), "wb"));
  }
  if (file_ == nullptr) {
    part_.clear();
    fail();
  }
}

TargetFile::~TargetFile() {
  if (!part_.empty()) {
    std::remove(part_.c_str());
  }
}

void TargetFile::fail() const {
  throw Error("cannot write " + (path_ == "-" ? "a temporary file" : path_) + ": " + std::strerror(errno));
}

void TargetFile::write(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    fail();
  }
}

void TargetFile::copy_to_standard_output() {
  std::rewind(file_.get());
  std::vector<char> buffer(kBuffer);
  while (const size_t got = std::fread(buffer.data(), 1, buffer.size(), file_.get())) {
    if (!write_all(STDOUT_FILENO, {buffer.data(), got})) {
      throw Error(std::string("cannot write to standard output: ") + std::strerror(errno));
    }
  }
}

void TargetFile::commit() {
  if (std::fflush(file_.get()) != 0) {
    fail();
  }
  if (path_ == "-") {
    copy_to_standard_output();
  } else if (std::fclose(file_.release()) != 0 || (!part_.empty() && std::rename(part_.c_str(), path_.c_str()) != 0)) {
    fail();
  }
  part_.clear();
}

}  // namespace dynascope::cli
