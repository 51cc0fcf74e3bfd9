// SPDX-License-Identifier: LGPL-2.1-or-later
// A cgroup (version 2) of one test, gone with it.
#pragma once

#include <string>

namespace handover::system::test {

/// The cgroup of this process; "" for the root.
std::string own_cgroup();

class TestCgroup {
 public:
  TestCgroup();
  ~TestCgroup();
  TestCgroup(const TestCgroup&) = delete;
  TestCgroup& operator=(const TestCgroup&) = delete;

  /// Why this machine cannot run a process in it; "" if it can.
  [[nodiscard]] std::string problem() const { return problem_; }
  /// As in /proc/PID/cgroup.
  [[nodiscard]] std::string path() const { return path_; }
  [[nodiscard]] std::string directory() const { return directory_; }

 private:
  std::string path_;
  std::string directory_;
  std::string problem_;
  bool made_ = false;
};

}  // namespace handover::system::test
