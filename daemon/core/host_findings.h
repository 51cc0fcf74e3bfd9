// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules of preflight about the host that an update leaves, and comes back to.
#pragma once

#include "core/finding_list.h"
#include "core/host_facts.h"
#include "core/words.h"

namespace handover {

/// `mode`: the way into the next kernel.
void check_host(const HostFacts& host, Mode mode, FindingList& findings);

}  // namespace handover
