// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel tells of another process: its memory, its descriptors, its CPU time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <string_view>

namespace handover::test {

/// VmRSS; 0 if there is no such process.
std::size_t resident_bytes(pid_t pid);

/// How many descriptors are open that lead to something whose name begins with `target`
/// ("/memfd:", "socket:").
std::size_t open_descriptors(pid_t pid, std::string_view target = {});
/// Of all its threads, those that ended too. Throws std::system_error.
std::chrono::nanoseconds cpu_time(pid_t pid);

}  // namespace handover::test
