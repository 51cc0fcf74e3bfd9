// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/sync.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <system_error>
#include <utility>

#include "core/mountinfo.h"
#include "system/files.h"
#include "system/process.h"

namespace handover::system {
namespace {

using Clock = std::chrono::steady_clock;

/// As many wait for their disks at the same time.
constexpr std::size_t most_at_once = 8;
constexpr std::uint64_t collect_every_usec = 2'000;
constexpr std::uint64_t longest_usec = UINT64_C(3'600'000'000);

bool is_local(const Mount& mount) {
  // Without a block device of their own (major 0), and local all the same.
  constexpr std::array<std::string_view, 5> others = {"btrfs", "bcachefs", "zfs", "ubifs", "jffs2"};
  if (mount.device.starts_with("0:")) {
    return std::find(others.begin(), others.end(), mount.type) != others.end();
  }
  return !mount.type.starts_with("fuse");
}

bool is_on_loop(std::string_view device) { return device.starts_with("7:"); }

/// Whether `path` lies below `directory`.
bool is_below(std::string_view path, std::string_view directory) {
  if (directory == "/") return path.size() > 1;
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

/// Whether another mount lies on top of this one, or on a directory on the way to it.
bool is_hidden(const Mount& mount, const std::vector<Mount>& all) {
  const Mount* at = &mount;
  for (std::size_t depth = 0; at != nullptr && depth < all.size(); ++depth) {
    const Mount* parent = nullptr;
    for (const Mount& other : all) {
      if (other.parent == at->id && other.point == at->point && other.id != at->id) return true;
      if (other.parent == at->parent && is_below(at->point, other.point)) return true;
      if (other.id == at->parent) parent = &other;
    }
    at = parent == at ? nullptr : parent;
  }
  return false;
}

int sync_one(const char* path) {
  if (path[0] == '\0') {
    ::sync();
    return 0;
  }
  // O_DIRECTORY: what is mounted on a file may be a device or a pipe, which opening would wake.
  const int fd = ::open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || ::syncfs(fd) < 0) return -errno;
  return 0;  // the descriptor goes with the process
}

/// By the first of its mount points that can be opened.
int sync_any(const FileSystem& file_system, int (*sync)(const char*)) {
  int result = 0;
  for (const std::string& path : file_system.mount_points) {
    result = sync(path.c_str());
    if (result != -ENOTDIR && result != -EACCES && result != -ENOENT) return result;
  }
  return result;
}

/// One wave: all of `file_systems`, until `end`.
class Wave {
 public:
  Wave(std::deque<const FileSystem*> file_systems, int (*sync)(const char*), SyncReport& report)
      : waiting_(std::move(file_systems)), sync_(sync), report_(report) {}

  void run(Clock::time_point end) {
    for (;;) {
      while (running_.size() < most_at_once && !waiting_.empty()) start();
      if (running_.empty()) return;
      if (Clock::now() >= end) break;
      collect();
    }
    for (const Running& one : running_) fail(*one.file_system, ETIMEDOUT);
    for (const FileSystem* one : waiting_) fail(*one, ETIMEDOUT);
  }

 private:
  struct Running {
    const FileSystem* file_system;
    Process process;
  };

  void start() {
    const FileSystem& next = *waiting_.front();
    waiting_.pop_front();
    auto process = Process::start({}, [&next, sync = sync_] { return sync_any(next, sync); });
    if (!process) return fail(next, process.error().sys_errno);
    running_.push_back(Running{&next, std::move(*process)});
  }

  void collect() {
    std::vector<Running> left;
    std::uint64_t patience = collect_every_usec;
    for (Running& one : running_) {
      const auto result = one.process.wait(patience);
      patience = 0;
      if (!result) {
        left.push_back(std::move(one));
      } else if (*result < 0) {
        fail(*one.file_system, -*result);
      } else {
        ++report_.synced;
      }
    }
    running_ = std::move(left);
  }

  void fail(const FileSystem& which, int sys_errno) {
    report_.unsynced.push_back({which.mount_points.front(), sys_errno});
  }

  std::deque<const FileSystem*> waiting_;
  int (*sync_)(const char*);
  SyncReport& report_;
  std::vector<Running> running_;
};

}  // namespace

std::vector<FileSystem> local_file_systems(std::string_view mountinfo) {
  const std::vector<Mount> mounts = parse_mountinfo(mountinfo);
  std::vector<FileSystem> found;
  std::map<std::string_view, std::size_t> places;
  for (const Mount& mount : mounts) {
    if (!is_local(mount) || mount.read_only || is_hidden(mount, mounts)) continue;
    const auto [place, is_new] = places.emplace(mount.device, found.size());
    if (is_new) found.push_back({std::string(mount.device), {}});
    found[place->second].mount_points.push_back(mount.point);
  }
  std::stable_partition(found.begin(), found.end(),
                        [](const FileSystem& one) { return is_on_loop(one.device); });
  return found;
}

std::string to_text(const Unsynced& one) {
  const std::string why =
      one.sys_errno == ETIMEDOUT ? "not in time" : std::generic_category().message(one.sys_errno);
  return one.mount_point + " (" + why + ")";
}

SyncReport sync_file_systems(std::uint64_t timeout_usec) {
  const auto mountinfo = read_file("/proc/self/mountinfo");
  return sync_file_systems(timeout_usec, mountinfo.value_or(""), sync_one);
}

SyncReport sync_file_systems(std::uint64_t timeout_usec, std::string_view mountinfo,
                             int (*sync)(const char* path)) {
  const auto began = Clock::now();
  const std::chrono::microseconds limit(std::min(timeout_usec, longest_usec));
  const auto end = began + limit;
  const std::vector<FileSystem> file_systems = local_file_systems(mountinfo);
  SyncReport report;
  for (const bool loops : {true, false}) {
    std::deque<const FileSystem*> wave;
    for (const FileSystem& one : file_systems) {
      if (is_on_loop(one.device) == loops) wave.push_back(&one);
    }
    // Those that hang leave time for the others.
    Wave(std::move(wave), sync, report).run(loops ? began + limit / 2 : end);
  }
  // What cannot be reached by a path is written by sync(2), with all others.
  const auto unreachable = [](const Unsynced& one) {
    return one.sys_errno == EACCES || one.sys_errno == ENOENT || one.sys_errno == ENOTDIR;
  };
  const auto first = std::stable_partition(report.unsynced.begin(), report.unsynced.end(),
                                           [&](const Unsynced& one) { return !unreachable(one); });
  if (first != report.unsynced.end() || mountinfo.empty()) {
    const FileSystem all = {"", {""}};
    SyncReport last;
    Wave({&all}, sync, last).run(end);
    if (last.synced > 0) {
      report.synced += static_cast<std::size_t>(report.unsynced.end() - first);
      report.unsynced.erase(first, report.unsynced.end());
    } else if (mountinfo.empty()) {
      // Which there are is not known.
      for (const Unsynced& one : last.unsynced) report.unsynced.push_back({"/", one.sys_errno});
    }
  }
  report.usec = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began).count());
  return report;
}

}  // namespace handover::system
