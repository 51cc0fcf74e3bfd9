// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/package_locks.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "core/unique_fd.h"
#include "system/small_files.h"

namespace handover::system {

namespace {

std::string process_text(pid_t pid, const std::string& root) {
  if (pid <= 0) return {};  // it is in another PID namespace
  const auto number = std::to_string(pid);
  const auto name = text_in(root + "/proc/" + number + "/comm");
  return (name.empty() ? "with no name" : name) + " (process " + number + ")";
}

/// Whether somebody holds a lock to write. Readers (rpm -q) change nothing.
bool is_locked(const std::string& path, pid_t& holder) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) return false;
  struct flock lock = {};
  // As a reader asks: only a writer is in its way.
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_GETLK, &lock) < 0 || lock.l_type != F_WRLCK) return false;
  holder = lock.l_pid;
  return true;
}

}  // namespace

std::vector<PackageLock> package_locks(const std::string& root) {
  std::vector<PackageLock> found;
  constexpr std::array<const char*, 4> locks = {"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock",
                                                "/var/lib/rpm/.rpm.lock",
                                                "/usr/lib/sysimage/rpm/.rpm.lock"};
  for (const auto* path : locks) {
    pid_t holder = 0;
    if (!is_locked(root + path, holder)) continue;
    // One package manager has several.
    auto process = process_text(holder, root);
    const bool known = !found.empty() && !process.empty() && found.back().process == process;
    if (!known) found.push_back({path, std::move(process)});
  }
  constexpr auto pacman = "/var/lib/pacman/db.lck";
  if (::access((root + pacman).c_str(), F_OK) == 0) {
    found.push_back({pacman, "", /*stays=*/true});
  }
  return found;
}

}  // namespace handover::system
