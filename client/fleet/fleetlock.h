// SPDX-License-Identifier: LGPL-2.1-or-later
// The FleetLock protocol (coreos.github.io/zincati/development/fleetlock/protocol) as functions
// over values.
#pragma once

#include <string>

#include "message.h"

namespace handover::fleet {

enum class FleetLockCall { pre_reboot, steady_state };

Request fleetlock_request(FleetLockCall call, const std::string& group, const std::string& id);

/// 2xx is yes. The protocol's error document below 500 is pre-reboot's no, which has changed
/// nothing. What went wrong in the server itself or on the way, and what somebody else says (a
/// proxy's 429, a page), leaves it open. `url`: for the sentence.
LockOutcome fleetlock_outcome(FleetLockCall call, const Reply& reply, const std::string& url);

}  // namespace handover::fleet
