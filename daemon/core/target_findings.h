// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules of preflight about how the target fits this host: its age, its signature, its companion
// module, and what its command line and its initrd lack.
#pragma once

#include "core/finding_list.h"
#include "core/host_facts.h"
#include "core/preflight.h"

namespace handover {

/// `input.target` is there.
void check_fit(const PreflightInput& input, const HostFacts& host, FindingList& findings);

}  // namespace handover
