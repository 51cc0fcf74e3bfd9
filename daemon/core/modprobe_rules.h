// SPDX-License-Identifier: LGPL-2.1-or-later
// What forbids modprobe to load a module: modprobe.d(5), and the kernel's command line.
#pragma once

#include <string_view>

namespace handover {

/// Whether a file of modprobe.d forbids `module`: "blacklist", by which modprobe@.service goes, or
/// "install" with a command that loads nothing (/bin/false, /bin/true).
bool is_blocked_by_file(std::string_view text, std::string_view module);

/// The word of a command line that forbids it: "module_blacklist=", or "modprobe.blacklist="; "" if
/// none does.
std::string_view blocking_word(std::string_view cmdline, std::string_view module);

}  // namespace handover
