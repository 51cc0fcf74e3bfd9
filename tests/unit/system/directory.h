// SPDX-License-Identifier: LGPL-2.1-or-later
// A directory for one test, gone afterwards: the root of a fixture tree.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace handover::system::test {

class Directory {
 public:
  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] std::string path(std::string_view below = "") const;
  /// Writes `text` to `below`, with the directories above it; returns its path.
  std::string write(std::string_view below, std::string_view text) const;
  void link(std::string_view below, std::string_view target) const;
  /// How many entries there are at the top.
  [[nodiscard]] std::size_t entries() const;

 private:
  std::filesystem::path root_;
};

}  // namespace handover::system::test
