// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel that an update goes into: found by what was asked for, opened once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/update_options.h"
#include "system/kexec.h"

namespace handover::system {

struct FoundTarget {
  KexecImage image;
  std::string why;                   ///< why this one (core/kernel_choice.h)
  std::string cmdline;               ///< of its boot loader entry, or in it; "" if there is none
  std::vector<std::string> initrds;  ///< of its boot loader entry
  std::string entry;                 ///< id of the entry with that image; "" if there is none
  std::vector<std::string> addons;   ///< of a unified image: what the firmware would add to it
  bool no_initrd_found = false;      ///< nothing was asked for, and nothing lies beside it
};

/// Finds `options.kernel` by choose_kernel() and opens it; a unified kernel image is taken apart.
/// `options.kernel` becomes its path, `options.entry` that of its entry. kernel_not_found,
/// not_a_kernel, invalid_argument, io.
Result<FoundTarget> find_target(UpdateOptions& options, const std::string& running,
                                const std::string& root = "");

/// Whether `wanted` means the target that find_target() found as `have`: the same file, and, where
/// it names an entry, the same entry.
bool means_target(const std::string& wanted, const UpdateOptions& have, const std::string& running,
                  const std::string& root = "");

/// Opens the initrd that was asked for ("" is none), or else the one in the unified image, or that
/// of the entry, or what lies beside the image. `options.initrd` becomes its path, if it is one
/// file by itself. kernel_not_found, invalid_argument, io.
Result<void> open_its_initrd(FoundTarget& target, UpdateOptions& options,
                             const std::string& release, const std::string& root = "");

}  // namespace handover::system
