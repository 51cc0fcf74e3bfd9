// SPDX-License-Identifier: LGPL-2.1-or-later
// Turns the small pages of a shmem memfd into huge ones, so that preserving it makes few entries.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "core/error.h"

namespace handover::system {

struct Collapsed {
  std::uint64_t bytes_huge = 0;   ///< now (or already) in huge pages
  std::uint64_t bytes_small = 0;  ///< left as they were (pinned, odd tail, no huge page to be had)
};

/// madvise(MADV_COLLAPSE) over a shared mapping of `fd`, one huge page at a time. The workload may
/// run on. `progress(bytes done)` is called now and then in the calling thread; `cancel` ends it
/// early (cancelled). A piece that cannot be collapsed (EAGAIN, EBUSY, ENOMEM, EINVAL) is counted
/// small and is no error. not_supported if the kernel knows no MADV_COLLAPSE.
///
/// The huge pages are charged to `cgroup` (run_in_cgroup() in child.h, with its errors): what it
/// has no memory for stays small. busy: it is frozen or nearly stands still; what is collapsed by
/// then stays so. A thread of the pool: it takes seconds for each GiB.
Result<Collapsed> collapse_memfd(int fd, const std::function<void(std::uint64_t)>& progress,
                                 const std::atomic<bool>& cancel, const std::string& cgroup = "");

}  // namespace handover::system
