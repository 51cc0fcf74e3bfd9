// SPDX-License-Identifier: LGPL-2.1-or-later
// A directory of one test, gone with it.
#pragma once

#include <string>

namespace handover::test {

class TemporaryDirectory {
 public:
  /// Throws std::system_error. Others may pass through it (a bus client of another uid), not list
  /// it.
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Throws std::runtime_error if it cannot be written.
  void write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
};

/// "" if it is not there.
std::string text_of(const std::string& path);

}  // namespace handover::test
