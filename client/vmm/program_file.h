// SPDX-License-Identifier: LGPL-2.1-or-later
// The program that a process runs, as a file: its name may lead to another one by now.
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <string>

#include "common/identity.h"

namespace handover::vmm {

/// To be executed by path_of(). `user`: as whom the process was started, if not as we are; without
/// CAP_SYS_PTRACE only he may look.
client::Result<client::Fd> program_of(pid_t process, const common::Identity* user);

/// That of a process which was just started as us, and may become somebody else whom nobody may
/// look at. None if it is not the file at `path` itself: a script's is its interpreter.
client::Fd program_at_start(pid_t process, const std::string& path);

/// Of the child that executes it, which has it until then.
std::string path_of(const client::Fd& program);

}  // namespace handover::vmm
