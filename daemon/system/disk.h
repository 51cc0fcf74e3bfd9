// SPDX-License-Identifier: LGPL-2.1-or-later
// Files on a disk, or a network, that may never answer again.
//
// Each call is made in a process of its own, as in sync.h: one that waits for a dead disk cannot be
// ended. It is left behind, and holds up neither the daemon's threads nor its exit. Until it has
// come to its end, further calls in the same directory fail at once: there is one such process, and
// what it does late cannot undo what was done after it.
//
// Threads: any, of the pool: a call takes as long as the disk, up to its limit. io with the path;
// ETIMEDOUT in sys_errno: no answer in time, and what was asked for may still happen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace handover::system {

inline constexpr std::uint64_t disk_limit_usec = 10'000'000;

/// ENOENT in sys_errno for callers to whom absence means something.
Result<std::string> read_from_disk(const std::string& path,
                                   std::uint64_t limit_usec = disk_limit_usec);
/// Writes PATH.new, fsyncs it, renames it, and fsyncs the directory: a crash leaves the old or the
/// new contents. Mode 0600. One caller for each path at a time.
Result<void> replace_on_disk(const std::string& path, std::string_view text,
                             std::uint64_t limit_usec = disk_limit_usec);
Result<void> remove_from_disk(const std::string& path, std::uint64_t limit_usec = disk_limit_usec);
Result<void> rename_on_disk(const std::string& from, const std::string& to,
                            std::uint64_t limit_usec = disk_limit_usec);
/// No error if it is there already. Mode 0755.
Result<void> make_directory_on_disk(const std::string& path,
                                    std::uint64_t limit_usec = disk_limit_usec);
/// False: it is none, or there is no answer.
bool is_directory_on_disk(const std::string& path, std::uint64_t limit_usec = disk_limit_usec);

/// Whether a directory can be read, or is not there. What the kernel has of it in memory it says
/// without the disk.
Result<void> disk_answers(const std::string& directory, std::uint64_t limit_usec = disk_limit_usec);

}  // namespace handover::system
