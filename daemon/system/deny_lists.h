// SPDX-License-Identifier: LGPL-2.1-or-later
// The lists of hosts that cannot kexec, of this host (core/deny_list.h).
#pragma once

#include <string>

#include "core/host_facts.h"

namespace handover::system {

/// /usr/lib/handover/kexec-deny.d/*.conf, and /etc/handover/kexec-deny.d/*.conf, of which a file
/// takes the place of that of the same name. Fills `denied` and `deny_problems`. A host without DMI
/// has no name, and is on no list.
void look_into_deny_lists(HostFacts& facts, const std::string& root = "");

}  // namespace handover::system
