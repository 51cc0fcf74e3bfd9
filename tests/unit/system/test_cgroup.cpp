// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test_cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "system/child.h"

namespace handover::system::test {

std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line.substr(3) == "/" ? "" : line.substr(3);
  }
  return "";
}

TestCgroup::TestCgroup() {
  const std::string root = std::filesystem::exists("/sys/fs/cgroup/cgroup.procs")
                               ? "/sys/fs/cgroup"
                               : "/sys/fs/cgroup/unified";
  path_ = own_cgroup() + "/handoverd-test-" + std::to_string(::getpid());
  directory_ = root + path_;
  if (::mkdir(directory_.c_str(), 0755) != 0) {
    problem_ = "no cgroup can be made here: " + std::generic_category().message(errno);
    return;
  }
  made_ = true;
  if (const int tried = run_in_cgroup(path_, [] { return 0; }); tried != 0) {
    problem_ =
        "no process can be started in a cgroup here: " + std::generic_category().message(-tried);
  }
}

TestCgroup::~TestCgroup() {
  // A process that was killed may take a moment to leave it.
  for (int i = 0; made_ && ::rmdir(directory_.c_str()) != 0 && i < 1000; ++i) ::usleep(10'000);
}

}  // namespace handover::system::test
