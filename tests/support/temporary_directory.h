// SPDX-License-Identifier: LGPL-2.1-or-later
// A directory of one test, gone with it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace handover::test {

/// Everything below throws std::exception if it cannot be done.
class TemporaryDirectory {
 public:
  /// Its path is short, for sockets in it. Others may pass through it (a bus client of another
  /// uid), not list it.
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string path(std::string_view below = "") const;
  /// Writes `text` to `below`, with the directories above it; returns its path.
  std::string write(std::string_view below, std::string_view text) const;
  void link(std::string_view below, std::string_view target) const;
  /// How many entries there are at the top.
  [[nodiscard]] std::size_t entries() const;

 private:
  std::filesystem::path root_;
};

/// "" if it is not there.
std::string text_of(const std::string& path);

}  // namespace handover::test
