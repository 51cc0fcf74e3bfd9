// SPDX-License-Identifier: LGPL-2.1-or-later
// Loads a kernel for kexec, and leaves the running one: the only place with those system calls.
#pragma once

#include <string>

#include "core/error.h"

namespace handover::system {

/// kexec_file_load(2). `initrd` may be "". kernel_not_found, kexec_load_failed (with what to do for
/// EPERM, ENOEXEC, ENOMEM: no room in KHO's scratch, EKEYREJECTED). Tens to hundreds of ms.
Result<void> load_kernel(const std::string& kernel, const std::string& initrd,
                         const std::string& cmdline);
/// Forgets a loaded kernel. Nothing loaded is no error.
Result<void> unload_kernel();
/// /sys/kernel/kexec_loaded.
Result<bool> kernel_loaded();

/// sync(2), a moment before the freeze so that the sync inside the blackout is short.
void sync_file_systems();
/// sync(2), then reboot(LINUX_REBOOT_CMD_KEXEC). Returns only on failure: kexec_failed.
Error kexec_now();

}  // namespace handover::system
