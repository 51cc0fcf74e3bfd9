// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/child.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <string_view>

#include "core/unique_fd.h"
#include "system/files.h"
#include "system/log.h"
#include "system/process.h"

namespace handover::system {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t look_every_usec = 50'000;
std::atomic<std::uint64_t> moved_here = 0;
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

/// All that is in it stands still.
bool is_frozen(const std::string& directory) {
  const auto events = read_file(directory + "/cgroup.events");
  return events && events->find("frozen 1") != std::string::npos;
}

/// The same, or it is to: a process that cannot stop now keeps "frozen" at 0 for as long as it
/// likes, while all others stand still.
bool is_to_freeze(const std::string& root, const std::string& cgroup) {
  if (is_frozen(root + cgroup)) return true;
  for (std::string path = cgroup; path.size() > 1; path.resize(path.rfind('/'))) {
    const auto asked = read_file(root + path + "/cgroup.freeze");
    if (asked && asked->starts_with('1')) return true;
  }
  return false;
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

/// Kills it. Its result if it has one all the same.
int end(Process& process, const std::string& own) {
  process.kill();
  // Where it has no processor, it would not even die.
  move_to(own, process.pid());
  const auto result = process.wait(end_patience_usec);
  if (!result) return -EINPROGRESS;
  return *result == -ENOMEM ? -ETIMEDOUT : *result;
}

/// A call that has the processor for a part of the time is not held up by its owner: there is much
/// to do, or the host is busy.
bool is_late(Clock::duration took, std::uint64_t worked_usec, std::chrono::microseconds limit) {
  constexpr int share = 20;
  constexpr int most_limits = 10;
  if (took < limit) return false;
  return took >= most_limits * limit || std::chrono::microseconds(worked_usec) < took / share;
}

/// It is in our own cgroup now.
int wait_here(Process& process, const Stay& stay) {
  for (;;) {
    if (const auto result = process.wait(look_every_usec)) return *result;
    if (stay.look) stay.look();
  }
}

}  // namespace

int run_in_cgroup(const std::string& cgroup, const std::function<int()>& call, const Stay& stay) {
  const std::string own = own_cgroup();
  if (cgroup.empty() || cgroup == own) return call();
  if (!is_cgroup_path(cgroup)) return -EINVAL;
  const std::string root = cgroup_root();
  const UniqueFd directory(::open((root + cgroup).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return -errno;
  // There it would stop before its first instruction, for as long as its owner likes.
  if (is_to_freeze(root, cgroup)) return -ETIMEDOUT;

  auto process = Process::start({directory.get(), true}, call);
  if (!process) return -process.error().sys_errno;
  const std::chrono::microseconds limit(stay.limit_usec);
  auto since = Clock::now();
  auto worked_before = process->processor_usec();
  for (;;) {
    if (const auto result = process->wait(look_every_usec)) return *result;
    if (stay.look && stay.look()) {
      since = Clock::now();
      worked_before = process->processor_usec();
    }
    const auto worked = process->processor_usec();
    const bool late =
        is_late(Clock::now() - since, worked - std::min(worked, worked_before), limit);
    if (!late && !is_to_freeze(root, cgroup)) continue;
    if (!stay.ends_here) return end(*process, own);
    if (move_to(own, process->pid())) {
      ++moved_here;
      log::warning("What is done for cgroup ", cgroup, " is ", late ? "too slow" : "frozen",
                   " there (cgroup.freeze, cpu.max, memory.high): handoverd's own cgroup is "
                   "charged for the rest.");
      return wait_here(*process, stay);
    }
    // It stands still outside the kernel: what the call had to do is done, or can be done again.
    if (is_frozen(root + cgroup)) return end(*process, own);
  }
}

std::uint64_t calls_moved_here() { return moved_here; }

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
