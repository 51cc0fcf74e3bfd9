// SPDX-License-Identifier: LGPL-2.1-or-later
// Processes of a command that have left its process group, which no signal to the group reaches.
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <string>
#include <vector>

namespace handover::common {

/// "PID (NAME)" of each descendant of `leader` that is not in its group. One whose parent has ended
/// is nobody's descendant any more, and not found.
client::Result<std::vector<std::string>> strays_of(pid_t leader);

}  // namespace handover::common
