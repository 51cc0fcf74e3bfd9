// SPDX-License-Identifier: LGPL-2.1-or-later
// Starting another program, and knowing at once whether it runs.
#pragma once

#include <sys/types.h>

#include <functional>
#include <handover/handover.hpp>
#include <string>
#include <vector>

namespace handover::common {

/// A child that executes `arguments`, the first of which is looked up in $PATH. `in_child` runs
/// there before, and returns false with errno set if it failed; descriptors below `first_free_fd`
/// are its own to fill. Returns once the program executes; an error carries what errno was.
client::Result<pid_t> start_process(const std::vector<std::string>& arguments, int first_free_fd,
                                    const std::function<bool()>& in_child);

/// For `in_child`: no signal is blocked, SIGPIPE is as a program expects it, and what systemd says
/// to its main process is forgotten.
bool forget_parent();

}  // namespace handover::common
