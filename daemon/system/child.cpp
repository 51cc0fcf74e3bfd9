// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/child.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <string_view>

#include "core/unique_fd.h"
#include "system/files.h"
#include "system/process.h"

namespace handover::system {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t look_every_usec = 50'000;
/// What a killed process may take to end.
constexpr std::uint64_t end_patience_usec = 1'000'000;

/// Beside controllers of version 1, systemd mounts cgroup2 one level below.
std::string cgroup_root() {
  std::string root = "/sys/fs/cgroup";
  struct statfs status = {};
  if (::statfs(root.c_str(), &status) == 0 && status.f_type != CGROUP2_SUPER_MAGIC) {
    root += "/unified";
  }
  return root;
}

/// It comes from a client's credentials or a manifest: nothing in it may lead elsewhere.
bool is_cgroup_path(const std::string& path) {
  return path.starts_with('/') && (path + "/").find("/../") == std::string::npos &&
         path.find('\0') == std::string::npos;
}

/// "0::/system.slice/handoverd.service" (cgroups(7)).
std::string own_cgroup() {
  const auto text = read_file("/proc/self/cgroup");
  if (!text) return "";
  constexpr std::string_view prefix = "0::";
  std::size_t at = text->starts_with(prefix) ? 0 : text->find("\n0::");
  if (at == std::string::npos) return "";
  if (at > 0) ++at;
  at += prefix.size();
  return text->substr(at, text->find('\n', at) - at);
}

bool is_frozen(const std::string& directory) {
  const auto events = read_file(directory + "/cgroup.events");
  return events && events->find("frozen 1") != std::string::npos;
}

bool move_to(const std::string& cgroup, pid_t process) {
  const std::string path = cgroup_root() + cgroup + "/cgroup.procs";
  const UniqueFd procs(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string pid = std::to_string(process);
  return procs && ::write(procs.get(), pid.data(), pid.size()) > 0;
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  const auto text = read_file(path);
  std::uint64_t number = 0;
  if (!text ||
      std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc{}) {
    return std::nullopt;  // "max" too
  }
  return number;
}

constexpr auto no_limit = std::numeric_limits<std::uint64_t>::max();

}  // namespace

int run_in_cgroup(const std::string& cgroup, const std::function<int()>& call) {
  return run_in_cgroup_for(cgroup, call, no_limit);
}

int run_in_cgroup_for(const std::string& cgroup, const std::function<int()>& call,
                      std::uint64_t limit_usec, const std::function<void()>& meanwhile) {
  const std::string own = own_cgroup();
  if (cgroup.empty() || cgroup == own) return call();
  if (!is_cgroup_path(cgroup)) return -EINVAL;
  const std::string path = cgroup_root() + cgroup;
  const UniqueFd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return -errno;
  // In a frozen cgroup it would stop before its first instruction, for as long as its owner likes.
  if (is_frozen(path)) return -EBUSY;

  auto process = Process::start({directory.get(), true}, call);
  if (!process) return -process.error().sys_errno;
  const auto began = Clock::now();
  bool moved = false;
  for (;;) {
    if (const auto result = process->wait(look_every_usec)) return *result;
    if (meanwhile) meanwhile();
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began);
    int failure = 0;
    if (static_cast<std::uint64_t>(took.count()) >= limit_usec) {
      failure = -ETIMEDOUT;
    } else if (!moved && is_frozen(path)) {
      // Killed now, it would leave nobody knowing what became of the call.
      moved = move_to(own, process->pid());
      if (!moved) failure = -EBUSY;
    }
    if (failure == 0) continue;
    process->kill();
    const auto result = process->wait(end_patience_usec);
    return result && *result != -ENOMEM ? *result : failure;
  }
}

std::optional<std::uint64_t> cgroup_room(const std::string& cgroup, const std::string& root) {
  if (!is_cgroup_path(cgroup)) return std::nullopt;
  const std::string mounted = root.empty() ? cgroup_root() : root;
  std::optional<std::uint64_t> room;
  for (std::string path = cgroup; path.size() > 1; path.resize(path.rfind('/'))) {
    const auto most = number_in(mounted + path + "/memory.max");
    const auto used = number_in(mounted + path + "/memory.current");
    if (!most || !used) continue;
    const std::uint64_t here = *most > *used ? *most - *used : 0;
    room = std::min(room.value_or(here), here);
  }
  return room;
}

}  // namespace handover::system
