// SPDX-License-Identifier: LGPL-2.1-or-later
// Where the gate keeps what outlives it.
#pragma once

#include <string>

namespace handover::fleet {

/// $STATE_DIRECTORY, or /var/lib/handover/fleet.
std::string state_directory();
/// $RUNTIME_DIRECTORY, or /run/handover-fleet.
std::string runtime_directory();

}  // namespace handover::fleet
