// SPDX-License-Identifier: LGPL-2.1-or-later
// Unified kernel images as files: kexec_file_load() takes none, so they are taken apart.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/unique_fd.h"
#include "system/kexec.h"

namespace handover::system {

/// What the menu shows of one.
struct UkiHead {
  std::string osrel, uname, cmdline;
  bool has_initrd = false;
};

/// nullopt: it is none, or cannot be read. Only its small sections are read.
std::optional<UkiHead> read_uki_head(int fd);

/// Files beside a unified kernel image that its stub would take with it when the firmware starts it
/// (systemd-stub(7)): add-ons with more of a command line, credentials, extensions. Paths, sorted.
std::vector<std::string> uki_addons(const std::string& uki);

/// Puts kernel and initrd of a unified kernel image into memory, in place of the file in `image`,
/// and returns its command line. nullopt: it is none, and `image` is as it was. not_a_kernel, io.
Result<std::optional<std::string>> take_apart(KexecImage& image);

}  // namespace handover::system
