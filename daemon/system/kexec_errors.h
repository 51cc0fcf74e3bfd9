// SPDX-License-Identifier: LGPL-2.1-or-later
// Why kexec_file_load() and reboot(KEXEC) fail, and what to do about it: errno to sentence.
#pragma once

#include <string>

#include "core/error.h"

namespace handover::system {

/// kexec_load_failed with the errno's meaning for kexec_file_load(2).
Error kexec_load_error(const std::string& kernel, int sys_errno);

/// kexec_failed with the errno's meaning for reboot(LINUX_REBOOT_CMD_KEXEC).
Error kexec_call_error(int sys_errno);

}  // namespace handover::system
