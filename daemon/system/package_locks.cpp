// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/package_locks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>

#include "system/regular_file.h"
#include "system/small_files.h"

namespace handover::system {

namespace {

std::string process_text(pid_t pid, const std::string& root) {
  if (pid <= 0) return {};  // it is in another PID namespace
  const auto number = std::to_string(pid);
  const auto name = text_in(root + "/proc/" + number + "/comm");
  return (name.empty() ? "with no name" : name) + " (process " + number + ")";
}

/// Who has the file by flock(2), which fcntl(2) does not tell (proc_locks(5)); 0 if nobody has.
pid_t holder_by_flock(const struct stat& file, const std::string& locks) {
  for (const auto& line : lines_of(locks)) {
    // "1: FLOCK ADVISORY WRITE 12 fe:01:3456 0 EOF"; one who waits has "->" behind the number.
    const auto words = words_of(line);
    if (words.size() < 6 || words[1] != "FLOCK" || words[3] != "WRITE") continue;
    unsigned major_number = 0;
    unsigned minor_number = 0;
    unsigned long inode = 0;
    int pid = 0;
    if (std::sscanf(words[5].c_str(), "%x:%x:%lu", &major_number, &minor_number, &inode) != 3 ||
        std::sscanf(words[4].c_str(), "%d", &pid) != 1 || inode != file.st_ino) {
      continue;
    }
    // Btrfs says another number for each subvolume; all of them are nobody's device.
    const bool no_device = major_number == 0 && major(file.st_dev) == 0;
    if (no_device || makedev(major_number, minor_number) == file.st_dev) return pid;
  }
  return 0;
}

/// Whether somebody holds a lock to write. Readers (rpm -q) change nothing.
bool is_locked(const std::string& path, const std::string& locks, pid_t& holder) {
  const auto fd = open_regular(path);
  if (!fd) return false;
  struct flock lock = {};
  // As a reader asks: only a writer is in its way.
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd->get(), F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK) {
    holder = lock.l_pid;
    return true;
  }
  struct stat status = {};
  if (::fstat(fd->get(), &status) < 0) return false;
  holder = holder_by_flock(status, locks);
  return holder != 0;
}

/// xbps locks its database itself, whose name has the version of its format.
std::vector<std::string> lock_paths(const std::string& root) {
  std::vector<std::string> paths = {
      "/var/lib/dpkg/lock-frontend",     "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock",
      "/usr/lib/sysimage/rpm/.rpm.lock", "/lib/apk/db/lock",   "/run/apk/db.lock",
      "/var/db/.pkg.portage_lockfile"};
  const std::string xbps = "/var/db/xbps/";
  for (const auto& name : names_in_directory(root + xbps)) {
    if (name == "lock" || (name.starts_with("pkgdb-") && name.ends_with(".plist"))) {
      paths.push_back(xbps + name);
    }
  }
  return paths;
}

}  // namespace

std::vector<PackageLock> package_locks(const std::string& root) {
  std::vector<PackageLock> found;
  const auto locks = text_in(root + "/proc/locks");
  for (const auto& path : lock_paths(root)) {
    pid_t holder = 0;
    if (!is_locked(root + path, locks, holder)) continue;
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
