// SPDX-License-Identifier: LGPL-2.1-or-later
// Looks at the host for preflight: /proc, /sys, /etc. Reads small files only, and what it cannot
// read is not said.
#pragma once

#include <optional>
#include <string>

#include "core/host_facts.h"
#include "core/initrd_facts.h"

namespace handover::system {

/// `target_cmdline` is the command line that the target will have, and `initrd` what is in its
/// initrd.
HostFacts host_facts(const std::string& target_cmdline, const std::optional<InitrdFacts>& initrd,
                     const std::string& root = "");

/// The file of modprobe.d, or the word of the target's command line, that keeps modprobe from
/// loading `module`; "" if nothing does.
std::string blocker_of_module(const std::string& module, const std::string& target_cmdline,
                              const std::string& root = "");

}  // namespace handover::system
