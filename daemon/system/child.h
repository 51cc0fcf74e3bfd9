// SPDX-License-Identifier: LGPL-2.1-or-later
// System calls in another cgroup's name: what the kernel allocates for them is charged there.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace handover::system {

/// How long a call may stay in another cgroup. Its owner can freeze it, or slow it down without end
/// (cpu.max, memory.high).
struct Stay {
  /// Ten times as long for a call that has the processor for a twentieth of the time, or more.
  std::uint64_t limit_usec = 60'000'000;
  /// When it is frozen, or the limit is over: the process goes on in the daemon's own cgroup, and
  /// is waited for, since the call must not be ended half-way. False: it is killed.
  bool ends_here = false;
  /// Called every 50 ms. True: the call has come further, and the limit begins anew.
  std::function<bool()> look = {};
};

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
/// belongs to another user and CAP_DAC_OVERRIDE is missing), EAGAIN (its pids.max), EBUSY (it has
/// other cgroups below it), EINVAL (no path of a cgroup). -ENOMEM: the out-of-memory killer of the
/// cgroup ended it, and the call may have had its effect. -ETIMEDOUT: the cgroup is frozen, or the
/// limit was over: the call was not made, or killed, and may have had its effect. -EINPROGRESS: the
/// same, but it has not ended yet.
int run_in_cgroup(const std::string& cgroup, const std::function<int()>& call,
                  const Stay& stay = {});

/// Calls that went on in the daemon's own cgroup (Stay::ends_here) since the start.
std::uint64_t calls_moved_here();

/// How many bytes may still be charged to the cgroup: the least of memory.max - memory.current of
/// it and of those above it. Page cache counts as used, though the kernel could drop it. nullopt:
/// there is no limit, or it cannot be read. `root` is where cgroup2 is mounted; "" finds it.
std::optional<std::uint64_t> cgroup_room(const std::string& cgroup, const std::string& root = "");

}  // namespace handover::system
