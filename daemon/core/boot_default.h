// SPDX-License-Identifier: LGPL-2.1-or-later
// How the boot loader is told that a kernel is its default from now on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace handover {

/// What this host has for that.
struct BootDefaultFacts {
  std::string entry;        ///< id of the kernel's boot loader entry, or ""
  std::string release;      ///< of the kernel
  std::string loader_conf;  ///< the text of loader/loader.conf: systemd-boot is there
  std::string grub_cfg;     ///< the text of GRUB's grub.cfg
  std::string bootctl;      ///< path of the program; "": it is not there
  std::string grub_tool;    ///< of grub-set-default or grub2-set-default
};

/// The id of the kernel's entry in the menu of a grub.cfg, with those of the submenus round it
/// ("gnulinux-advanced-UUID>gnulinux-RELEASE-advanced-UUID", as grub-set-default takes it). No
/// entry for recovery. kernel_not_found: no entry has such an id.
Result<std::string> grub_entry_id(std::string_view grub_cfg, std::string_view release);

/// The program and its arguments. not_supported: this host has no way, and why; kernel_not_found.
Result<std::vector<std::string>> boot_default_command(const BootDefaultFacts& facts);

}  // namespace handover
