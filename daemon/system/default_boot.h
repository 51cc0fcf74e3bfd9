// SPDX-License-Identifier: LGPL-2.1-or-later
// What this host has to tell its boot loader which kernel is the default.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"

namespace handover::system {

/// boot_default_command() of this host. Under systemd it is a unit of its own (systemd-run),
/// without the daemon's restrictions: the firmware's variables and /boot are to be written. A
/// thread of the pool.
Result<std::vector<std::string>> default_boot_command(const std::string& entry,
                                                      const std::string& release,
                                                      const std::string& root = "");

/// Whether that command has done it. grub-set-default ends with status 0 also where it could not
/// write (GRUB 2.06 to 2.12): GRUB's environment block says so. What bootctl ends with is true. io.
Result<void> check_default_boot(const std::vector<std::string>& command,
                                const std::string& root = "");

}  // namespace handover::system
