// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a process runs: its control group, and the systemd service that this belongs to.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::bus {

struct Place {
  std::string cgroup;  ///< path below /sys/fs/cgroup ("/system.slice/x.service"); "" unknown
  std::string unit;    ///< "x.service"; "" in no service
  bool operator==(const Place&) const = default;
};

/// Reads the text of /proc/PID/cgroup (cgroups(7)). io if it names no group that systemd manages.
Result<Place> place_from(std::string_view text);

/// Where the process behind `pidfd` runs. io if it has ended, or /proc does not tell.
Result<Place> place_of(pid_t pid, const UniqueFd& pidfd);

/// access_denied, for a caller whose service cannot be found out: it may be anybody's.
Error unknown_service(pid_t pid, const Error& why);

/// A pidfd of the process that has this number now. io.
Result<UniqueFd> open_pidfd(pid_t pid);

/// The number of the process behind `pidfd` (its fdinfo, pidfd_open(2)). io if it has ended.
Result<pid_t> pid_of(const UniqueFd& pidfd);

}  // namespace handover::bus
