// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace dynascope::cli {

/// Writes all of `bytes` to an open file; false, with errno, where that fails.
bool write_all(int file, std::string_view bytes);

/// A result that may be larger than memory: nobody sees any of it before it is whole.
class TargetFile {
 public:
  /// @param path  "-": standard output. An existing file is replaced.
  /// @throws Error when it cannot be written
  explicit TargetFile(std::string path);
  ~TargetFile();
  TargetFile(const TargetFile&) = delete;
  TargetFile& operator=(const TargetFile&) = delete;

  /// @throws Error when the disk is full
  void write(std::string_view bytes);

  /// Puts the result in its place. Without it nothing is left behind.
  void commit();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  [[noreturn]] void fail() const;
  void copy_to_standard_output();

  std::string path_;
  std::string part_;  // where the result grows; empty: in a file without a name, or right in a device
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace dynascope::cli
