// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "file.h"

namespace handover::common {

std::string cgroup_path(std::string_view text) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    if (line.substr(0, 3) == "0::") return std::string(line.substr(3));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return "";
}

std::string cgroup_mount(std::string_view text) {
  // proc_pid_mountinfo(5): the mount point is the fifth field, the type comes behind " - ".
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos || line.substr(dash + 3, 8) != "cgroup2 ") continue;
    std::size_t start = 0;
    for (int field = 1; field < 5; ++field) start = line.find(' ', start) + 1;
    return std::string(line.substr(start, line.find(' ', start) - start));
  }
  return "";
}

client::Result<std::string> own_cgroup() {
  auto mounts = read_file("/proc/self/mountinfo");
  if (!mounts) return mounts.error();
  auto mine = read_file("/proc/self/cgroup");
  if (!mine) return mine.error();
  const std::string mount = cgroup_mount(*mounts);
  const std::string path = cgroup_path(*mine);
  if (mount.empty() || path.empty()) {
    return client::Error{"", "This host has no cgroup version 2 hierarchy.", ENOENT};
  }
  return path == "/" ? mount : mount + path;
}

bool is_delegated(const std::string& cgroup) {
  // systemd sets both to "1"; the second only since version 251 (systemd.resource-control(5)).
  for (const char* attribute : {"trusted.delegate", "user.delegate"}) {
    char value = 0;
    if (getxattr(cgroup.c_str(), attribute, &value, 1) == 1 && value == '1') return true;
  }
  return false;
}

client::Result<Cgroup> Cgroup::make(std::string directory) {
  if (mkdir(directory.c_str(), 0755) < 0 && errno != EEXIST) {
    return errno_error("Cannot make the cgroup " + directory);
  }
  Cgroup cgroup(std::move(directory));
  // One that an earlier run left behind may be frozen: COMMAND would never start.
  if (auto thawed = cgroup.set_frozen(false); !thawed) return thawed.error();
  cgroup.procs_.reset(open((cgroup.directory_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!cgroup.procs_) return errno_error("Cannot open cgroup.procs of " + cgroup.directory_);
  return cgroup;
}

Cgroup::Cgroup(Cgroup&& other) noexcept
    : directory_(std::exchange(other.directory_, "")), procs_(std::move(other.procs_)) {}

Cgroup::~Cgroup() {
  // Fails with EBUSY while a process is in it: then it is systemd's to remove, with the unit's.
  if (!directory_.empty()) rmdir(directory_.c_str());
}

client::Result<void> Cgroup::write(const char* file, const char* value) const {
  const std::string path = directory_ + "/" + file;
  const client::Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), value, strlen(value)) < 0) {
    return errno_error("Cannot write " + path);
  }
  return {};
}

client::Result<void> Cgroup::set_frozen(bool frozen) {
  return write("cgroup.freeze", frozen ? "1" : "0");
}

client::Result<bool> Cgroup::is_frozen() const {
  auto events = read_file(directory_ + "/cgroup.events");
  if (!events) return events.error();
  return events->find("frozen 1") != std::string::npos;
}

client::Result<void> Cgroup::kill() { return write("cgroup.kill", "1"); }

}  // namespace handover::common
