// SPDX-License-Identifier: LGPL-2.1-or-later
// Lists what this host could boot.
#pragma once

#include <string>

#include "core/error.h"
#include "core/kernel_choice.h"

namespace handover::system {

/// Images in /boot and /lib/modules, and the boot loader's entries in /boot, /efi and /boot/efi:
/// text files (loader/entries) and unified kernel images (EFI/Linux). What cannot be read is left
/// out.
BootListing boot_listing(const std::string& root = "");

/// Before that: a file system with kernels that does not answer is waited for 10 s. io.
Result<void> boot_answers(const std::string& root = "");

}  // namespace handover::system
