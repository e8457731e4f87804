// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "file_kind.hpp"
#include "findings.hpp"
#include "input_file.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace dynascope {

/// One axis of a dataset: how long, and the path of its scale ("" for none).
struct DeclaredAxis {
  int64_t size = 0;
  std::string scale;
};

/// What a dataset must be.
struct Declared {
  /// What its first axis counts.
  enum class Grows { kNot, kRows, kEvents };

  Stored type = Stored::kFloat64;
  Grows grows = Grows::kNot;
  std::vector<DeclaredAxis> axes;    ///< of a growing dataset all but the first
  bool scale = false;                ///< a dimension scale of itself
  std::set<std::string> attributes;  ///< besides those that every dataset has
};

/// Everything that a file of this kind must hold, and nothing else may be in it.
struct Declaration {
  const FileKind* kind = nullptr;
  std::map<std::string, Declared> datasets;
  std::map<std::string, std::set<std::string>> groups;  ///< path -> names of its attributes
};

/// What a file of this kind must hold, given the names of its layers, their shapes and its options. Where the file does
/// not tell them, that is a finding, and the rest is declared all the same.
Declaration declare(const h5::InputFile& file, const FileKind& kind, Findings& findings);

}  // namespace dynascope
