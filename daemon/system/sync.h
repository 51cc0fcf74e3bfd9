// SPDX-License-Identifier: LGPL-2.1-or-later
// Writes local file systems to their disks, in a limited time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace handover::system {

/// A file system and where it can be reached.
struct FileSystem {
  std::string device;                     ///< "8:1"
  std::vector<std::string> mount_points;  ///< those that no other mount hides
  bool operator==(const FileSystem&) const = default;
};

/// Those on block devices, flash or volumes of their own (btrfs, ZFS), by /proc/PID/mountinfo
/// (proc(5)), each once: no network, no FUSE, no tmpfs, nothing that is read-only. Those on loop
/// devices come first, since writing them writes to others.
std::vector<FileSystem> local_file_systems(std::string_view mountinfo);

struct Unsynced {
  std::string mount_point;
  int sys_errno = 0;  ///< ETIMEDOUT: it was not done in time
  bool operator==(const Unsynced&) const = default;
};

/// "/mnt (Input/output error)", for a list.
std::string to_text(const Unsynced& one);

struct SyncReport {
  std::size_t synced = 0;
  std::vector<Unsynced> unsynced;
  std::uint64_t usec = 0;  ///< how long it took
};

/// syncfs(2) for each local file system, several at a time, `timeout_usec` at most for all of them.
/// Each runs in a process of its own, since a system call that waits for a dead disk cannot be
/// ended: such a process is left behind, without any descriptor of the daemon's, and holds up
/// neither its exit nor execve() nor kexec. Blocks: a thread of the pool.
SyncReport sync_file_systems(std::uint64_t timeout_usec);

/// The same with other mounts and another call, for tests. `sync` makes plain system calls only and
/// returns 0 or -errno; "" as the path stands for sync(2).
SyncReport sync_file_systems(std::uint64_t timeout_usec, std::string_view mountinfo,
                             int (*sync)(const char* path));

}  // namespace handover::system
