// SPDX-License-Identifier: LGPL-2.1-or-later
// System calls in another cgroup's name: what the kernel allocates for them is charged there.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace handover::system {

/// Runs `call` in a process of the cgroup (a path below the root of cgroup2, as in
/// /proc/PID/cgroup) and returns its result; "" or the daemon's own cgroup: here. The process has
/// this one's descriptors, so that a descriptor that `call` opens is open here, and memory of its
/// own: the kernel charges what a system call allocates to the cgroup of the memory's owner
/// (get_mem_cgroup_from_mm() in mm/memcontrol.c).
///
/// `call` makes plain system calls only: it must not allocate memory, take a lock or throw, and
/// what it writes into memory is not seen here.
///
/// Takes as long as the call does, and a fraction of a millisecond more: a thread of the pool. Any
/// thread. -errno if the process could not be started: ENOENT (no such cgroup), EACCES (the cgroup
/// belongs to another user and CAP_DAC_OVERRIDE is missing), EAGAIN (its pids.max), EBUSY (it is
/// frozen), EINVAL (no path of a cgroup). -ENOMEM: the out-of-memory killer of the cgroup ended it,
/// and the call may have had its effect. A cgroup that is frozen meanwhile does not hold it up: the
/// process goes on in the daemon's cgroup.
int run_in_cgroup(const std::string& cgroup, const std::function<int()>& call);

/// The same with a limit, -ETIMEDOUT (the call may have had its effect), and with `meanwhile`, if
/// any, called here every 50 ms.
int run_in_cgroup_for(const std::string& cgroup, const std::function<int()>& call,
                      std::uint64_t limit_usec, const std::function<void()>& meanwhile = {});

/// How many bytes may still be charged to the cgroup: the least of memory.max - memory.current of
/// it and of those above it. Page cache counts as used, though the kernel could drop it. nullopt:
/// there is no limit, or it cannot be read. `root` is where cgroup2 is mounted; "" finds it.
std::optional<std::uint64_t> cgroup_room(const std::string& cgroup, const std::string& root = "");

}  // namespace handover::system
